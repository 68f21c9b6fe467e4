"""Moving: from facts about networks to calls that go on elsewhere.

Detect, decide and act are three files (design decision 8):

- `observation`: facts of links, addresses, routes and radio become one picture.
- `silence`: packets that are missing though nothing tells why.
- `movement`: the picture now against where we are: lost, weakening, unanswered, something better.
- `policy`: whether to move, where, hard or soft; hysteresis.
- `conductor`: one move at a time, events coalesced (decision 7).
- `plan`: what a move does, as steps; `sip_strategy` makes it for a call's state.
- `link_quality`, `budget`: whether packets had better go two ways, and what that may cost.
- `attach`: the privileged attachment agent; the phone works without it.

All but `attach_agent` and `service` are pure.
"""
