"""RTCP: packets, and when which of them are sent.

Done: RFC 3550 sections 6.1 to 6.6, appendices A.2 and A.7 (timer reconsideration, reverse reconsideration, BYE
at once below 50 members), RFC 4585 sections 3.3 (immediate feedback between two parties, within our share of RTCP's
bandwidth), 3.4 (T_rr_interval) and 6.2.1 (generic NACK), RFC 5506 (reduced size, received always, sent where agreed).
APP and unknown packet types are kept as octets; one APP is our own (`resume`).

Not done: the five seconds of RFC 3550 section 6.2 stay the shortest interval under AVPF too (RFC 4585 section 3.4
would allow less), and what bounds feedback is a credit in octets in place of section 3.5.2's `allow_early`; feedback
other than the generic NACK; SDES items other than CNAME sent, BYE back-off of large groups, SSRC sampling, RFC 3611.
"""
