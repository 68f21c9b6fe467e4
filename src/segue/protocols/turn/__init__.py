"""Traversal Using Relays around NAT (RFC 8656): a client's allocation, without a socket.

- `client`: one allocation: made, refreshed, moved, given back; data there and back.
- `peers`: permissions and channels; `channel_data`: the short form of data, and messages out of a stream.
- `uri`: how a user names servers (RFC 7064, RFC 7065); `events`: what an allocation tells.

Status card
  RFC 8656   done: 5 to 12 (client), 18, 19; UDP, TCP and TLS to the server
             not done: DTLS to the server, EVEN-PORT and RESERVATION-TOKEN (one port for RTP and RTCP needs none),
             DONT-FRAGMENT, servers
  RFC 8016   done: 3 (client)
  RFC 8489   done: 9.2.5 (401 and 438), 10 (300; believed when it is proven)
  RFC 7064, RFC 7065   done
"""
