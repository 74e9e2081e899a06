// Package protobuf reads and writes the few protocol buffer messages of access
// boundaries. It knows numbers and what has a length; see
// https://protobuf.dev/programming-guides/encoding.
package protobuf

import "encoding/binary"

// The kinds of fields there are on the wire.
const (
	kindVarint = 0
	kindEight  = 1
	kindBytes  = 2
	kindFour   = 5
)

// AppendVarint appends a field that is a number.
func AppendVarint(message []byte, number int, v uint64) []byte {
	message = binary.AppendUvarint(message, uint64(number)<<3|kindVarint)
	return binary.AppendUvarint(message, v)
}

// AppendBytes appends a field that is a string, bytes or a message.
func AppendBytes(message []byte, number int, data []byte) []byte {
	message = binary.AppendUvarint(message, uint64(number)<<3|kindBytes)
	message = binary.AppendUvarint(message, uint64(len(data)))
	return append(message, data...)
}

// EachField calls f for each field of message in turn: with its value if it is
// a varint, with data, which is a part of message, if it has a length, and with
// neither if it is of another kind. It reports whether message can be read to
// its end.
func EachField(message []byte, f func(number int, v uint64, data []byte)) bool {
	for len(message) > 0 {
		tag, size := binary.Uvarint(message)
		if size <= 0 {
			return false
		}
		v, data, rest, ok := next(message[size:], tag&7)
		if !ok {
			return false
		}
		f(int(tag>>3), v, data)
		message = rest
	}
	return true
}

// next reads what follows a tag.
func next(message []byte, kind uint64) (v uint64, data, rest []byte, ok bool) {
	switch kind {
	case kindEight:
		return skip(message, 8)
	case kindFour:
		return skip(message, 4)
	case kindVarint, kindBytes:
		v, size := binary.Uvarint(message)
		if size <= 0 {
			return 0, nil, nil, false
		}
		message = message[size:]
		if kind == kindVarint {
			return v, nil, message, true
		}
		if v > uint64(len(message)) {
			return 0, nil, nil, false
		}
		return 0, message[:v], message[v:], true
	}
	return 0, nil, nil, false
}

func skip(message []byte, size int) (v uint64, data, rest []byte, ok bool) {
	if len(message) < size {
		return 0, nil, nil, false
	}
	return 0, nil, message[size:], true
}
