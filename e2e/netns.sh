#!/bin/sh
# Runs a command in a network namespace of its own, with loopback and a cable that leads nowhere: Firefox gathers no
# candidates on loopback and makes no connections to it, and nothing that browsers send leaves the machine.
set -eu
exec unshare --map-root-user --net sh -c '
	ip link set lo up
	ip link add media0 type veth peer name media1
	ip address add 198.51.100.1/24 dev media0
	ip link set media0 up
	ip link set media1 up
	ip route add default via 198.51.100.2
	MEDIA_ADDRESS=198.51.100.1 exec "$@"' sh "$@"
