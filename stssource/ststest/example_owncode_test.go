package ststest_test

import (
	"fmt"
	"io"
	"log"
	"net/http"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

// inventory is the code under test: the client of an API.
type inventory struct{ client *http.Client }

func newInventory(client *http.Client) (*inventory, error) {
	src, err := stssource.New(stssource.Config{
		TokenURL:     "https://sts.test/token",
		SubjectToken: subjecttoken.Static{Value: "made up"},
		Audiences:    []string{"inventory"},
		HTTPClient:   client,
	})
	if err != nil {
		return nil, err
	}
	return &inventory{src.Client(client)}, nil
}

func (i *inventory) count() (string, error) {
	resp, err := i.client.Get("https://inventory.test/count")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.Status + ": " + string(body), err
}

// A test of one's own code: it gets a client that reaches a token service and
// the API in memory, and what it has sent is looked at afterwards.
func Example_ownCode() {
	service := new(ststest.Handler)
	mux := http.NewServeMux()
	mux.Handle("sts.test/", service)
	mux.Handle("inventory.test/", service.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "42")
	})))
	inventory, err := newInventory(&http.Client{Transport: ststest.RoundTripper(mux)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(inventory.count())

	service.Revoke(service.Requests()[0].AccessToken) // the API rejects the token from now on
	fmt.Println(inventory.count())

	for _, r := range service.Requests() {
		fmt.Println(r.Params["audience"], r.Status, r.Problem == "")
	}
	// Output:
	// 200 OK: 42 <nil>
	// 200 OK: 42 <nil>
	// [inventory] 200 true
	// [inventory] 200 true
}
