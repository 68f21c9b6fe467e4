"""A seeded model of links, radio and a walk. Pure: time and dice are handed in.

Tests ask it when a packet would arrive; the lab's link process does what it says to real frames.

- `link_model`: one direction of a link: delay, jitter, burst loss, rate with a bounded queue, duplication,
  reordering, fading; `offer(size, now)` gives the delivery times of one packet.
- `burst_loss`: the two-state loss model of Gilbert and Elliott.
- `radio`: signal by distance (log-distance path loss, shadowing), loss near the edge of range.
- `links`: the named links (wlan, 3g, core) in the two presets `clean` and `street`.
- `walk`: where the walker is, and which networks are in reach there.
- `nat`: network address translators by RFC 4787 in four kinds, with bounded tables, and stateful filters for IPv6.

Not here: queues shared by both directions, contention between stations, TCP-aware queue management.
"""
