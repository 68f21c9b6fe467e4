"""What a call is made of, composed of the standards and still pure.

- `config`: what a call is told about its media; `keying`: which key agreement it gets, and where it may
  be used.
- `negotiation.Negotiation`: the offer/answer engine; `agreement`: its outcome; `formats`: codecs and
  payload types; `local_media` and `remote_media`: what either end says; `extensions`: our attribute
  `a=x-segue`; `feedback`: which of RTCP's feedback is agreed on.
- `repair`: what is lost is sent again, both ways; `sent_packets`: the outage buffer; `missing_packets`: what is to
  be asked for.
- `path`: where media goes and comes from; `flows`: which signalling flows exist; `registration`: the
  bindings at our server; `events`: what the user hears of all this.

Status card
  RFC 3264   done: 5, 6, 7 for one audio stream, every other stream is refused; 8 (modifying: address, port,
             family, formats, direction), 8.4 hold with that of RFC 2543 read; 9 not done (capabilities in
             OPTIONS).
  RFC 6337   done: 5 (contents of offers and answers, hold by both, c=0.0.0.0), 3.3, 4.2 (glare is 491); 2.3
             (a refused offer changes nothing).
  RFC 3605   done
  RFC 5761   done: 4, 5.1.1; not done: 5.1.3 (with ICE)
  RFC 4568   the rules of 7.1.4 for moves; all else is in `protocols.sdes`.
  RFC 8643   answering done (keys in RTP/AVP); offering not: our offers are RTP/SAVP.
  RFC 4585   done: 4.2 (`a=rtcp-fb`) for the generic NACK and trr-int, answered and kept in re-offers; others are
             removed from the answer.
  RFC 5124   3.3.1: RTP/SAVPF is answered; our first offer is RTP/SAVP, which every phone takes, with `resend` in
             `a=x-segue`.
  RFC 5506   done: 5 (`a=rtcp-rsize`), and 4.2.1: without an answer to three requests in a row reports come with them.

A name in `c=` is refused with 488, as is multicast: only numeric unicast addresses are sent to.
"""
