package discovery

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// maxSavedBytes is far more than the list of any cluster.
const maxSavedBytes = 16 << 20

// savedVersion is the format of the file.
const savedVersion = 1

// savedList is the file in which the list in force is kept over restarts.
type savedList struct {
	Version int         `json:"version"`
	Cluster string      `json:"cluster"`
	Saved   time.Time   `json:"saved"`
	Nodes   []savedNode `json:"nodes"`
}

type savedNode struct {
	ID        string  `json:"id"`
	Region    string  `json:"region"`
	Provider  string  `json:"provider,omitempty"`
	Addr      string  `json:"addr"`
	URL       string  `json:"url,omitempty"`
	Version   string  `json:"version,omitempty"`
	Class     Class   `json:"class,omitempty"`
	Latitude  float64 `json:"latitude,omitempty"`
	Longitude float64 `json:"longitude,omitempty"`
}

// Save writes the nodes of a cluster to a file, readable by its owner alone, and
// replaces what was there in one step: a crash leaves the old list or the new one.
func Save(file, cluster string, nodes []Node, now time.Time) (err error) {
	list := savedList{Version: savedVersion, Cluster: cluster, Saved: now.UTC().Round(time.Second), Nodes: make([]savedNode, 0, len(nodes))}
	for _, n := range nodes {
		list.Nodes = append(list.Nodes, savedNode{
			n.ID, n.Region, n.Provider, n.Addr, n.URL, n.Version, n.Class, n.Latitude, n.Longitude,
		})
	}
	data, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, filepath.Base(file)+".*.new") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(append(data, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

// LoadSaved reads what Save wrote for this cluster, and when that was.
func LoadSaved(file, cluster string) (Snapshot, time.Time, error) {
	f, err := os.Open(file)
	if err != nil {
		return Snapshot{}, time.Time{}, err
	}
	defer func() { _ = f.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(f, maxSavedBytes+1))
	if err != nil {
		return Snapshot{}, time.Time{}, err
	}
	if len(data) > maxSavedBytes {
		return Snapshot{}, time.Time{}, fmt.Errorf("%s: more than %d bytes", file, maxSavedBytes)
	}
	var list savedList
	if err := json.Unmarshal(data, &list); err != nil {
		return Snapshot{}, time.Time{}, fmt.Errorf("%s: %w", file, err)
	}
	switch {
	case list.Version != savedVersion:
		return Snapshot{}, time.Time{}, fmt.Errorf("%s: version %d, not %d", file, list.Version, savedVersion)
	case list.Cluster != cluster:
		return Snapshot{}, time.Time{}, fmt.Errorf("%s: of cluster %q, not %q", file, list.Cluster, cluster)
	}
	nodes := make([]Node, 0, len(list.Nodes))
	for _, n := range list.Nodes {
		nodes = append(nodes, Node{
			ID: n.ID, Region: n.Region, Provider: n.Provider, Addr: n.Addr,
			Facts: Facts{URL: n.URL, Version: n.Version, Class: n.Class, Latitude: n.Latitude, Longitude: n.Longitude},
		})
	}
	s, err := NewSnapshot(nodes)
	if err != nil {
		return Snapshot{}, time.Time{}, fmt.Errorf("%s: %w", file, err)
	}
	return s, list.Saved, nil
}
