"""An IPv4 address from a lease, and the ARP that goes with it: octets and machines, no sockets.

- `datagram`: IPv4 and UDP headers, since a client without an address speaks in whole packets.
- `messages`: DHCP messages and options, parsed and written.
- `client`: the client's machine. `server`: the server's, with its leases.
- `arp`: ARP packets. `address_conflict`: probing and announcing an address.

Done: RFC 2131 sections 2 (format, option overload), 3.1 (allocation), 4.1, 4.3.1 to 4.3.4 (server), 4.4.1,
4.4.5, 4.4.6 (client: allocation, renewal, expiry, release); RFC 2132 for the options that an address needs;
RFC 3396 (long options, reading); RFC 4039 (rapid commit); RFC 826; RFC 5227 sections 2.1, 2.3 and 2.4 b
(probe, announce, give way). A client that has just moved does not know whether it is where it was: instead of
INIT-REBOOT (RFC 2131 section 3.2), which costs a refusal elsewhere, it names its old address in DHCPDISCOVER.

Not here: relay agents, DHCPINFORM, authentication (RFC 3118), forced renewal (RFC 3203).
"""
