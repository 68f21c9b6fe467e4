"""Hands: sockets, timers, names and the kernel's tables, on asyncio's loop. Raw non-blocking sockets and readiness,
no transports of asyncio. Everything is bound to the interface it is told.

- `udp`: `UdpSocket`; `open_pair` for RTP and RTCP. `tcp`: `connect_tcp`, `listen_tcp`, `StreamConnection`.
- `tls`: `TlsClient`, `listen_tls`; `tls_context`: what is trusted, and refusals in words; `certificate_names`.
- `dns`: `Resolver`; `dns_records`, `dns_wire`, `name_files`: what it says, speaks and reads.
- `driver`: runs a machine. `packet_clock`: the timer of voice packets. `clock`, `entropy`: the real ones.
- `sockets`: what all of them share. `netlink`, `rtnetlink_write`, `packet_socket`: links, addresses, routes, frames.

Status card
  RFC 5922   done: 7.1, 7.2, 7.3, 7.4 (identities are told, the policy is the owner's); not: several certificates
             for several domains on one port (7.8: one certificate with several names does), revocation.
  RFC 5924   not done: a certificate only for id-kp-sipDomain is refused, it must allow TLS too.
  RFC 8446   by OpenSSL; 1.2 and 1.3, resumption with tickets; no early data. RFC 8996, RFC 9325: 3.1, 3.3, 4.2.
  RFC 1035   4.2.1, 4.2.2; RFC 2308 negative answers; RFC 5452 9.2; RFC 6891 (1232 octets); RFC 7766 (one question
             a connection); RFC 8767 stale answers; RFC 6761 6.3. Not done: DNSSEC, DNS over TLS, cookies, search
             lists, a second try without EDNS.
  RFC 3550   section 11: adjacent ports. RFC 4594 4.1: voice is marked EF.
  RFC 5482   TCP_USER_TIMEOUT, on our side only (the option is not sent).

See docs/rooms/net.md.
"""
