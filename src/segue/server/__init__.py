"""A small office's SIP registrar and proxy, edge proxy in one: `segue server`.

Pure: `core` (octets in, octets out) over `registrar`, `location`, `authentication`, `rate_limit`, and `proxy` with
`routing`, `record_route`, `flow_tokens`, `forking`, `best_response`. Shell: `server` (asyncio), `store` (SQLite),
`certificate`.

Done: RFC 3261 sections 10.3 (registrar), 16 (stateful proxy, parallel forking, timer C, loose and strict routes),
22 (digest, with RFC 7616 and 8760); RFC 3581; RFC 4320; RFC 5393 (loops, Max-Breadth); RFC 5626 sections 5 to 7 as
edge proxy and registrar in one (flow tokens, reg-id, 430, 439, Flow-Timer, CRLF keep-alive); RFC 5627 public GRUUs;
RFC 5658 (double Record-Route); RFC 5922 names in our certificate; RFC 6026; RFC 8489 Binding without credentials.
Not: recursion on 3xx, sequential forking by q, Path (RFC 3327), temporary GRUUs, routes to
other domains (no DNS here: nothing leaves but over flows that were opened to us), RFC 3263 client behaviour.
"""
