//go:build race

package stssource_test

func init() { raceEnabled = true }
