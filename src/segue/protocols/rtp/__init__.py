"""RTP: packets, what a sender counts, what a receiver counts, telephone events.

Done: RFC 3550 sections 5.1, 5.3.1 (extension kept as octets), 6.4.1 (counts for reports), appendices A.1, A.3,
A.8; RFC 4733 telephone events 0 to 16. Duplicates of a packet are known as such and counted once.

Not done: mixing (CSRCs are read, none are written), RFC 8285 extension elements, RFC 2198 redundancy.
"""
