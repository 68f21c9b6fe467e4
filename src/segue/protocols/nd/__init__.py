"""IPv6 Neighbour Discovery and address autoconfiguration: octets and machines, no sockets.

- `options`, `messages`: the five ICMPv6 messages with their options, parsed and written with checksums.
- `packet`: the IPv6 header around them, and Ethernet's multicast addresses.
- `interface_identifier`: EUI-64 and stable, opaque identifiers.
- `duplicate_address_detection`: full, optimistic or none.
- `router_solicitation`: the host's side of router discovery. `router_advertisement`: the router's.
- `proxy_advertisement`: what the router where we are tells of others.

Done: RFC 4861 sections 4 (formats), 6.1, 7.1, 8.1 (validation), 6.2.4 to 6.2.6 (advertising), 6.3.7
(soliciting); RFC 4862 sections 5.4 (duplicate address detection) and 5.5.3 (prefix lifetimes); RFC 4191
section 2.3; RFC 8106 section 5; RFC 4429 section 3 (what an optimistic address may send); RFC 7217 section 5;
RFC 7527 section 4 (nonce); RFC 4068 sections 6.1 and 6.4 (what a host asks and hears of routers nearby).

Not here, since the kernel does it: address resolution and neighbour unreachability detection (RFC 4861
section 7.2 and 7.3), redirects beyond parsing, temporary addresses (RFC 8981), DHCPv6, SEND (RFC 3971).
"""
