"""RTCP: packets, and when which of them are sent.

Done: RFC 3550 sections 6.1 to 6.6, appendices A.2 and A.7 (timer reconsideration, reverse reconsideration, BYE
at once below 50 members), RFC 4585 section 6.2.1 (generic NACK), immediate feedback between two parties, RFC
5506 (reduced size, received always, sent where agreed). APP and unknown packet types are kept as octets.

Not done: SDES items other than CNAME sent, BYE back-off of large groups, SSRC sampling, XR (RFC 3611).
"""
