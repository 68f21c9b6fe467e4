"""Session Traversal Utilities for NAT (RFC 8489): messages, without a socket.

- `binding`: Binding requests, responses and errors, as a keep-alive of signalling needs them (RFC 5626 section 8).

Status card
  RFC 8489   done: 5 (header), 14 (attributes, read over), 14.2 (XOR-MAPPED-ADDRESS), 14.8 and 14.9 (420)
             not done: credentials (9), FINGERPRINT is neither sent nor checked, indications, other methods
  RFC 5626   done: 8 (STUN beside SIP on a port of datagrams)
"""
