"""From what a run left in its folder to its figures.

- `capture`: packets of every interface to pcapng files, and back; `packets` says what is in a frame.
- `address_monitor`: what the kernel of a mobile node says about links, addresses, routes and neighbours, with
  its time: where the address phase of a move is read. `open_sockets`: where the sockets of a process are bound.
- `measures`: gaps, losses and delays. `unheard` and `spoken`: what recordings contain. `security`: libsrtp's verdict.
- `run_files`: what a run left, read once. `moves`: the figures of one move. `catching_up`: how a playout came back
  to its usual delay. `results`: the JSON of a run, of all that.
"""
