package sim

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/pion/transport/v4"
)

// pionNet is a host's network as pion wants to see it: one interface with one
// IPv4 address. UDP only, which is all that WebRTC needs here.
type pionNet struct{ host *Host }

var _ transport.Net = pionNet{}

// Net returns the host's network for webrtc.SettingEngine.SetNet and ice.Agent.
func (h *Host) Net() transport.Net { return pionNet{h} }

func (n pionNet) ListenPacket(network, address string) (net.PacketConn, error) {
	addr, err := n.ResolveUDPAddr(network, address)
	if err != nil {
		return nil, err
	}
	return n.ListenUDP(network, addr)
}

func (n pionNet) ListenUDP(_ string, addr *net.UDPAddr) (transport.UDPConn, error) {
	port, err := n.localPort(addr)
	if err != nil {
		return nil, err
	}
	return n.host.ListenUDP(port)
}

func (n pionNet) localPort(addr *net.UDPAddr) (uint16, error) {
	if addr == nil {
		return 0, nil
	}
	ip := addr.AddrPort().Addr().Unmap()
	if ip.IsValid() && !ip.IsUnspecified() && ip != n.host.addr {
		return 0, fmt.Errorf("%s: %v is not an address of this host", n.host.name, ip)
	}
	return addr.AddrPort().Port(), nil
}

func (n pionNet) Dial(network, address string) (net.Conn, error) {
	addr, err := n.ResolveUDPAddr(network, address)
	if err != nil {
		return nil, err
	}
	return n.DialUDP(network, nil, addr)
}

func (n pionNet) DialUDP(_ string, local, remote *net.UDPAddr) (transport.UDPConn, error) {
	port, err := n.localPort(local)
	if err != nil {
		return nil, err
	}
	to := remote.AddrPort()
	return n.host.openUDP(port, netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))
}

func (n pionNet) ResolveUDPAddr(_, address string) (*net.UDPAddr, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port %q: %w", port, err)
	}
	ip := netip.IPv4Unspecified()
	if host != "" {
		if ip, err = netip.ParseAddr(host); err != nil {
			return nil, err // there are no names on this network
		}
	}
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(number))), nil
}

func (n pionNet) ResolveIPAddr(_, address string) (*net.IPAddr, error) {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return nil, err
	}
	return &net.IPAddr{IP: ip.AsSlice()}, nil
}

func (n pionNet) ResolveTCPAddr(string, string) (*net.TCPAddr, error) {
	return nil, transport.ErrNotSupported
}

func (n pionNet) ListenTCP(string, *net.TCPAddr) (transport.TCPListener, error) {
	return nil, transport.ErrNotSupported
}

func (n pionNet) DialTCP(string, *net.TCPAddr, *net.TCPAddr) (transport.TCPConn, error) {
	return nil, transport.ErrNotSupported
}

func (n pionNet) Interfaces() ([]*transport.Interface, error) {
	ifc := transport.NewInterface(net.Interface{
		Index: 1,
		MTU:   defaultMTU,
		Name:  "sim0",
		Flags: net.FlagUp | net.FlagRunning,
	})
	ifc.AddAddress(&net.IPNet{IP: n.host.addr.AsSlice(), Mask: net.CIDRMask(8, 32)})
	return []*transport.Interface{ifc}, nil
}

func (n pionNet) InterfaceByIndex(index int) (*transport.Interface, error) {
	if index != 1 {
		return nil, transport.ErrInterfaceNotFound
	}
	all, err := n.Interfaces()
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

func (n pionNet) InterfaceByName(name string) (*transport.Interface, error) {
	if name != "sim0" {
		return nil, transport.ErrInterfaceNotFound
	}
	return n.InterfaceByIndex(1)
}

func (n pionNet) CreateDialer(*net.Dialer) transport.Dialer { return n }

func (n pionNet) CreateListenConfig(*net.ListenConfig) transport.ListenConfig {
	return pionListenConfig(n)
}

// pionListenConfig exists because ListenPacket has another signature here.
type pionListenConfig pionNet

func (c pionListenConfig) Listen(context.Context, string, string) (net.Listener, error) {
	return nil, transport.ErrNotSupported
}

func (c pionListenConfig) ListenPacket(_ context.Context, network, address string) (net.PacketConn, error) {
	return pionNet(c).ListenPacket(network, address)
}
