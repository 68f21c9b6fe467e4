"""Hosts, networks and links on one machine.

- `namespaces`: network namespaces that end with the process that made them.
- `topology`: which hosts, networks and links there are. `build` makes its namespaces and addresses, `network` is what
  a scenario holds: it starts, moves and ends everything.
- `link_process` with `wire`, `station_break`, `timer`: one process that is all links (delay, jitter, loss, rate
  from `segue.emulator`), attaches and detaches stations. `links`: the lab's side of it.
- `router`: router advertisements, DHCPv4 and learning of neighbours for every access router.
- `name_server`: NAPTR, SRV and addresses of `example.org`.
- `attachment`: `segue attach` with addresses that repeat. `echo`: round trips of a host.

Not here: contention between stations of one network (they hear the router only), handover at layer 2, IPv4
and IPv6 multicast beyond the link.
"""
