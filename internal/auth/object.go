package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// object is a JSON object taken apart once, by exact member names. Decoding
// into a struct would not do: encoding/json lets "EXP" stand for "exp", and the
// last of two equal members win, so two readers could see two different tokens.
type object map[string]json.RawMessage

// maxMembers is far above any token or key that means well.
const maxMembers = 64

func parseObject(data []byte) (object, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	o := object{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("member name: %w", err)
		}
		name, ok := tok.(string)
		if !ok {
			return nil, errors.New("member name is not a string")
		}
		if _, twice := o[name]; twice {
			return nil, fmt.Errorf("member %q twice", name)
		}
		if len(o) == maxMembers {
			return nil, fmt.Errorf("more than %d members", maxMembers)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("member %q: %w", name, err)
		}
		o[name] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("end of object: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("data after the object")
	}
	return o, nil
}

// text returns the string member name, false if there is none.
func (o object) text(name string) (string, bool, error) {
	raw, ok := o[name]
	if !ok {
		return "", false, nil
	}
	var s *string // a pointer tells null from ""
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return "", false, fmt.Errorf("%q is not a string", name)
	}
	return *s, true, nil
}

// texts returns the member name, a string or a list of strings, as a list.
func (o object) texts(name string, limit int) ([]string, error) {
	raw, ok := o[name]
	if !ok {
		return nil, nil
	}
	if raw[0] == '"' {
		s, _, err := o.text(name)
		return []string{s}, err
	}
	var list []*string
	if err := json.Unmarshal(raw, &list); err != nil || raw[0] != '[' {
		return nil, fmt.Errorf("%q is neither a string nor a list of strings", name)
	}
	if len(list) > limit {
		return nil, fmt.Errorf("%q has %d entries, at most %d", name, len(list), limit)
	}
	out := make([]string, 0, len(list))
	for _, s := range list {
		if s == nil {
			return nil, fmt.Errorf("%q is neither a string nor a list of strings", name)
		}
		out = append(out, *s)
	}
	return out, nil
}
