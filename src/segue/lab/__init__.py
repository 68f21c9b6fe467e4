"""The proving ground: hosts and networks on one machine, where calls walk and are measured.

- `namespaces`: network namespaces that end with the process that made them.
- `topology`: which hosts, networks and links there are. `build` makes its
  namespaces and addresses, `network` is what a scenario holds: it starts, moves, measures and ends everything.
- `link_process` with `wire`, `station_break`, `timer`: one process that is all links (delay, jitter, loss, rate
  from `segue.emulator`), attaches and detaches stations. `links`: the lab's side of it.
- `router`: router advertisements, DHCPv4 and learning of neighbours for every access router.
- `name_server`: NAPTR, SRV and addresses of `example.org`.
- `capture`: packets of every interface to pcapng files, and back; `packets` says what is in a frame.
- `attachment`: `segue attach` with addresses that repeat.
- `address_monitor`: what the kernel of a mobile node says about links, addresses, routes and neighbours, with
  its time: where the address phase of a move is read.

Not here: contention between stations of one network (they hear the router only), handover at layer 2, IPv4
and IPv6 multicast beyond the link.
"""
