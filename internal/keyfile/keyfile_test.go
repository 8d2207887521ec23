package keyfile

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestCreateNeverOverwrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := CreateSecret(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	for name, create := range map[string]func(string, []byte) error{"secret": CreateSecret, "public": Create} {
		if err := create(path, []byte("two")); !errors.Is(err, os.ErrExist) {
			t.Errorf("%s over an existing file: %v", name, err)
		}
	}
	data, private, err := Read(path)
	if err != nil || string(data) != "one" || !private {
		t.Errorf("Read = %q, %v, %v", data, private, err)
	}
}

func TestReadSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := CreateSecret(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o700: true, 0o640: false, 0o604: false, 0o620: false, 0o601: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := ReadSecret(path)
		var exposed *ExposedError
		if ok != (err == nil) || !ok && !errors.As(err, &exposed) {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := Read(dir); err == nil {
		t.Error("a directory was read")
	}
	if _, _, err := Read(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	big := filepath.Join(dir, "big")
	if err := Create(big, bytes.Repeat([]byte("x"), maxBytes+1)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Read(big); err == nil {
		t.Error("a file beyond the limit was read")
	}
}
