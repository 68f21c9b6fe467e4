"""Moving: from facts about networks to calls that go on elsewhere.

Detect, decide and act are three files (design decision 8):

- `observation`: facts of links, addresses, routes and radio become one picture.
- `movement`: the picture now against where we are: lost, weakening, something better.
- `policy`: whether to move, where, hard or soft; hysteresis.
- `conductor`: one move at a time, events coalesced (decision 7).
- `plan`: what a move does, as steps; `sip_strategy` makes it for a call's state.
- `attach`: the privileged attachment agent; the phone works without it.

All but `attach` and `service` are pure.
"""
