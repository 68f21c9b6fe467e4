"""Interactive Connectivity Establishment (RFC 8445), and moving a call without signalling.

- `agent.IceAgent`: one call's, a `base.machine.Machine` for STUN; `view`: what it tells of itself; `events`.
- `candidate`, `pair`, `check_list`: what may be tried, in which order. `gathering`: asks STUN servers.
- `check`, `answering`, `exchange`: connectivity checks as client and as server, and what they change.
- `generation`: credentials and everything else that an ICE restart makes anew. `conclusion`: nominating.
- `known_path`: a path's life, and what may be sent on it. `consent`: keeping that permission.
- `selection`: which path data leaves on. `migration`: our own moves.
- `limits`: every time and every bound. `state`: what these parts share.

Candidates and descriptions are words of `base.ice_description`; `protocols.sdp.ice_attributes` reads and writes them.

Status card
  RFC 8445   done: 5.1, 5.3, 6.1, 7 to 12, 14 for one stream with one or two components, as a full agent, also
             with a lite peer. Nomination is regular; of a peer of RFC 5245 several are taken (8.1.1).
             otherwise: RTO grows with the pairs under way, not with their square (14.3); a response that comes from
             elsewhere is ignored, not a failure (7.2.5.2.1), so that who copies it ends nothing
             not done: 5.2, 6.2, 8.2 (being lite); ICMP errors (7.2.5.2.2); DSCP (7.2.3); NAT64 (5.1.1.2)
  RFC 8421   done: interfaces by preference, families by turns
  RFC 8838   done: 8 to 13 but for what SIP has to do with it (RFC 8840)
  RFC 7675   done: 5 (checks every 4 to 6 s, expiry, revocation); an expired path is asked again only between ends
             that migrate
  RFC 8863   done
  RFC 8016   is in `turn`
  beyond     renomination as libwebrtc and pion do it, the "moved" attribute, paths under proof, rebinding NATs,
             standby paths: only between ends that agreed upon it, but for rebinding; see docs/ice.md
"""
