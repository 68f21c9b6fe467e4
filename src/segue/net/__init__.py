"""Hands: sockets, timers and names on asyncio's loop. Raw non-blocking sockets, no transports of asyncio.

- `udp`: `UdpSocket`, `open_pair` for RTP and RTCP; `sockets`: what all of them share.
- `clock`, `entropy`: the real ones; `packet_clock`: a timerfd; `driver`: runs a machine.

See docs/rooms/net.md.
"""
