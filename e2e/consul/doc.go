// Package consul holds what is shown with real Consul agents and real nodes:
// nodes find each other over two joined datacenters, and lose nothing while the
// agents are dead. Its tests want the build tag e2e, and the binaries that
// `make e2e-consul` builds and names in TRELLIS and CONSUL.
package consul
