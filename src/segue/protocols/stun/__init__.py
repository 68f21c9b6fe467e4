"""Session Traversal Utilities for NAT (RFC 8489): messages and transactions, without a socket.

- `message`: read, written, checked against a key or a fingerprint.
- `attributes`: every one that is known, those of ICE and TURN too, as one registry holds all.
- `credentials`: short-term and long-term keys, a client's answer to a challenge.
- `transaction`: one request sent until it is answered, over datagrams or a stream; the timeout learnt from
  round trips.
- `binding`: Binding without credentials, for a public server and the keep-alive of signalling (RFC 5626 section 8).

Status card
  RFC 8489   done: 5 to 7, 9.1, 9.2 (client; both password algorithms, anonymous names), 14, 18
             not done: 8 (DNS), 9.2.4 (a server with long-term credentials), 10 (is in `turn`), 11 (RFC 3489);
             SASLprep stands for OpaqueString: they are one for printable ASCII, and the vectors want it
  RFC 5769   all vectors, read and written
  RFC 5626   done: 8 (STUN beside SIP on a port of datagrams)
"""
