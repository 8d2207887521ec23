package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"trellis/internal/keyfile"
)

const maxKeys = 64

// KeySet is the keys whose tokens a node believes, by id. It holds no private
// part of a key pair.
type KeySet struct {
	keys map[string]key
}

// KeySetOptions relaxes what a KeySet accepts.
type KeySetOptions struct {
	// AllowShared admits HS256 keys. Whoever can verify with one can also sign
	// with it, so every node could mint tokens: off unless an operator insists.
	AllowShared bool
}

// ParseKeySet reads a JWK Set, or a single JWK. It refuses private parts of key
// pairs: a node verifies and must not be able to sign.
func ParseKeySet(data []byte, opt KeySetOptions) (*KeySet, error) {
	keys, err := parseKeys(data)
	if err != nil {
		return nil, err
	}
	set := &KeySet{keys: make(map[string]key, len(keys))}
	for _, k := range keys {
		switch {
		case k.algorithm == HS256 && !opt.AllowShared:
			return nil, fmt.Errorf("key %q: HS256 is not allowed here: use EdDSA, or allow it explicitly", k.id)
		case k.algorithm != HS256 && k.private():
			return nil, fmt.Errorf(`key %q has its private part "d": nodes only verify, give them the public key`, k.id)
		}
		if _, twice := set.keys[k.id]; twice {
			return nil, fmt.Errorf("key %q twice", k.id)
		}
		set.keys[k.id] = k
	}
	return set, nil
}

// LoadKeySet reads a key set from a file. A file with a shared secret must be
// readable by its owner alone.
func LoadKeySet(path string, opt KeySetOptions) (*KeySet, error) {
	data, private, err := keyfile.Read(path)
	if err != nil {
		return nil, err
	}
	set, err := ParseKeySet(data, opt)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, k := range set.keys {
		if k.private() && !private {
			return nil, &keyfile.ExposedError{Path: path}
		}
	}
	return set, nil
}

// IDs returns the ids of the keys, sorted.
func (s *KeySet) IDs() []string {
	ids := make([]string, 0, len(s.keys))
	for id := range s.keys {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func parseKeys(data []byte) ([]key, error) {
	o, err := parseObject(data)
	if err != nil {
		return nil, err
	}
	raw, isSet := o["keys"]
	if !isSet {
		k, err := parseKey(o)
		return []key{k}, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, errors.New(`"keys" is not a list`)
	}
	if len(list) == 0 || len(list) > maxKeys {
		return nil, fmt.Errorf("%d keys, want 1 to %d", len(list), maxKeys)
	}
	keys := make([]key, 0, len(list))
	for i, raw := range list {
		o, err := parseObject(raw)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i, err)
		}
		k, err := parseKey(o)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i, err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}
