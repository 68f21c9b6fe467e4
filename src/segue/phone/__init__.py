"""The phone: everything below it, composed for one account on one device.

- `phone`, `call_handle`: the library, `from segue import Phone`; `reasons` says why something did not work.
- `voice_link`: from the library to the voice: `voice_process` in an interpreter of its own, by the frames of `wire`;
  `program_sound` is what a program says, plays, records and hears.
- `config`: what a phone is told. `event_lines`: what it tells, as JSON.
- `user_agent`: transactions, flows, registration, calls and moves without sockets; `moves` carries out what the
  conductor decides.
- `signalling` and `voice`: the hands. `engine`: the user agent with its hands on the event loop.

Status card
  RFC 3261   user agent core (sections 8, 12, 13, 14, 15) by `protocols.sip`; no redirection is followed.
  RFC 5626   a flow over each interface, keep-alives; RFC 5627 public GRUU; RFC 3263 per network.
  RFC 3264   by `call`. RFC 4733 both ways. RFC 3262, RFC 3311 both ways.
"""
