"""Codecs behind one shape. Importing this loads none of them, and not NumPy either.

    codec = codec_for("PCMA")
    payload = codec.encode(samples)      # int16, mono, codec.sample_rate
    samples = codec.decode(payload)
    samples = codec.conceal(160)         # instead of a packet that did not come

G.711 (ITU-T G.711 tables 1 and 2), G.722 at 64 kbit/s (package G722), Opus (libopus: in-band FEC,
concealment, constant bit rate, DTX only on request).
"""

from segue.media.codecs.registry import DESCRIPTIONS, Codec, Description, OpusSettings, codec_for, describe

__all__ = ["DESCRIPTIONS", "Codec", "Description", "OpusSettings", "codec_for", "describe"]
