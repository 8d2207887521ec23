package main

import (
	"log/slog"

	"trellis/internal/config"
	"trellis/internal/node"
	"trellis/routing/consul"
	"trellis/routing/discovery"
	"trellis/routing/static"
)

// peers decides how the node finds others.
func (b *builder) peers(cfg *node.Config) error {
	d := b.c.Discovery
	if d.Kind == config.KindConsul {
		return b.consul(cfg)
	}
	list := static.Config{File: d.File, Log: b.log}
	for _, p := range d.Peers {
		list.Nodes = append(list.Nodes, discovery.Node{ID: p.ID, Region: p.Region, Provider: p.Provider, Addr: p.Addr})
	}
	var err error
	cfg.Peers, err = static.New(list)
	return err
}

// consul registers the node in Consul and finds the others there.
func (b *builder) consul(cfg *node.Config) error {
	c := b.c.Discovery.Consul
	facts := discovery.Facts{URL: cfg.Public.URL, Version: cfg.Version, Class: discovery.ClassOf(b.c.Edge.EgressMbps)}
	if p := cfg.Public.Place; p != nil {
		facts.Latitude, facts.Longitude = p.Lat, p.Lon
	}
	source, err := consul.New(consul.Config{
		Address: c.Address, TokenFile: c.TokenFile, CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile, ServerName: c.ServerName,
		Service: c.Service, Datacenters: c.Datacenters, TTL: c.TTL, Cluster: cfg.Cluster,
		Self: discovery.Node{
			ID: cfg.ID, Region: cfg.Region, Provider: cfg.Provider, Addr: b.c.LinkAddr(),
			Facts: facts,
		},
		Log: b.log.With(slog.String("node", cfg.ID)),
	})
	if err != nil {
		return err
	}
	cfg.Peers, cfg.PeersAdvice, cfg.PeersFile = source, true, b.c.SnapshotPath()
	return nil
}
