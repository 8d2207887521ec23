// Package keyfile reads and writes small files that hold keys: secret ones are
// created readable by their owner alone, never overwritten, and refused when
// others on the machine could read them.
package keyfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// maxBytes is far above any key, certificate chain or key set.
const maxBytes = 256 << 10

// othersMask are the permission bits of everybody but the owner.
const othersMask = 0o077

// Read returns the content of path, and whether only its owner may read it.
func Read(path string) (data []byte, private bool, err error) {
	// One open file for content and mode: what was checked is what was read.
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	if info.IsDir() {
		return nil, false, fmt.Errorf("%s: is a directory", path)
	}
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(io.LimitReader(f, maxBytes+1)); err != nil {
		return nil, false, fmt.Errorf("read %s: %w", path, err)
	}
	if buf.Len() > maxBytes {
		return nil, false, fmt.Errorf("%s: more than %d bytes", path, maxBytes)
	}
	return buf.Bytes(), info.Mode()&othersMask == 0, nil
}

// ReadSecret is Read for a file that must be its owner's alone.
func ReadSecret(path string) ([]byte, error) {
	data, private, err := Read(path)
	if err != nil {
		return nil, err
	}
	if !private {
		return nil, &ExposedError{Path: path}
	}
	return data, nil
}

// ExposedError refuses a secret that others on the machine may read.
type ExposedError struct{ Path string }

// Error says how to mend it.
func (e *ExposedError) Error() string {
	return fmt.Sprintf("%s: holds a secret that other users can read: run chmod 600 %s", e.Path, e.Path)
}

// CreateSecret writes data to a new file of mode 0600. It never overwrites.
func CreateSecret(path string, data []byte) error { return create(path, data, 0o600) }

// Create writes data to a new file that all may read. It never overwrites.
func Create(path string, data []byte) error { return create(path, data, 0o644) }

func create(path string, data []byte, mode os.FileMode) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s: exists already and is left as it is: %w", path, os.ErrExist)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(data); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return f.Sync()
}
