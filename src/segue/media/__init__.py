"""Sound between packets and devices: codecs, jitter buffer, concealment, playout, levels, quality. Pure.

- `codecs`: G.711 mu-law and A-law, G.722, Opus, behind one shape; `codec_for(name)`.
- `playout`: what a call uses. Packets in by `put`, a frame of exactly 20 ms out by `get` at each tick.
- `speech_policy`: what becomes of late speech: `continuous` or `complete`, and its limit.
- `jitter_buffer`: packets by extended timestamp, one pull per tick; waits for what is sent again.
- `arrival_delay`, `lateness`: how much delay the path needs; outages and moves are not taken for jitter.
- `pace`: how much of speech may be taken out of any second.
- `concealment`: what is played instead of a lost packet, for codecs that have nothing of their own.
- `time_scale`, `splice`: makes speech shorter or longer without changing its pitch.
- `level`, `voice_activity`: dBov (RFC 6464 section 3), telling speech from silence.
- `quality`: E-model (ITU-T G.107, G.107.1): R and MOS from delay and loss.
- `coded_signal`: what a recording contains of the lab's signal in which each 40 ms is identifiable (its source
  is `segue.base.coded_signal`): unheard and repeated milliseconds.

PCM is int16, mono, NumPy; frames are 20 ms. Sample rates are changed by `segue.base.resample`.

RFC 3551: section 4.1 (timestamps and pauses), 4.5.2 (G.722's RTP clock), 4.5.14 (PCMA, PCMU), section 6 (payload
types). RFC 6716: section 3.1 (TOC), 3.2 (packet durations); the codec itself is libopus. RFC 7587: sections 4.1,
4.2. RFC 6464: section 3 (levels). RFC 3550: appendix A.1 (restarted numbers), with a probation of one packet.

Not here: RFC 3389 comfort noise, RFC 2198 redundancy, RFC 4733 events, stereo, DRED, echo cancellation. G.722 at
64 kbit/s only. The quality tables for Opus are those of rates next to ours.
"""
