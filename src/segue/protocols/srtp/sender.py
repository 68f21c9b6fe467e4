"""SRTP of one direction, sending side: the crypto contexts of all our SSRCs under one master key."""

from __future__ import annotations

from segue.base.errors import LocalError
from segue.base.keying import MasterKey, Suite
from segue.protocols.rtp.packet import header_length
from segue.protocols.srtp.transform import ENCRYPTED, SRTCP_HEADER, transforms

LAST_SRTP_INDEX = (1 << 48) - 1
SRTCP_LIFETIME = 1 << 31
LIMIT = 256  # SSRCs of ours under one key; each change of SSRC leaves one behind


class _Stream:
    __slots__ = ("base", "index")

    def __init__(self, base: int, index: int) -> None:
        self.base = base  # nonce without the index
        self.index = index  # of the last packet


class SrtpSender:
    """Protects what we send under one key. A packet's index is counted here, per SSRC, and outlives every change
    of address; there must be one sender only for a key, since two would use an index twice.

    `mki` overrides that of the master key. RTP packets of an SSRC must come in sequence; gaps of less than
    2**15 are fine. A packet that has to be sent again is kept in its protected form.
    """

    def __init__(self, suite: Suite, master_key: MasterKey, mki: bytes = b"") -> None:
        """Raises LocalError when the key does not fit the suite."""
        self.suite = suite
        self._streams: dict[bytes, _Stream] = {}
        self._rtcp_streams: dict[bytes, _Stream] = {}
        self._initial: dict[int, int] = {}
        self._rtp, self._rtcp = transforms(suite, master_key)
        self._mki = mki or master_key.mki
        self._left = min(master_key.lifetime, LAST_SRTP_INDEX + 1)
        self._rtcp_left = min(master_key.lifetime, SRTCP_LIFETIME)
        self._seal = self._rtp.seal
        self._shift = self._rtp.index_shift
        self._nonce_length = self._rtp.nonce_length

    def protect(self, packet: bytes) -> bytes:
        """The SRTP packet for an RTP packet. Raises RemoteError for what is no RTP packet, LocalError when the
        key is used up or the sequence number goes backwards: two packets under one index give both away."""
        header = 12 if packet[0] == 0x80 else header_length(packet)
        stream = self._streams.get(packet[8:12])
        if stream is None:
            stream = self._begin(packet)
            index = stream.index
        else:
            ahead = ((packet[2] << 8 | packet[3]) - stream.index) & 0xFFFF
            if not 0 < ahead < 0x8000:
                raise LocalError("an RTP sequence number was used before", "send packets in sequence")
            index = stream.index + ahead
        if self._left <= 0 or index > LAST_SRTP_INDEX:
            raise LocalError("the SRTP master key has protected all it may", "agree on a new key")
        self._left -= 1
        stream.index = index
        return self._seal(
            packet,
            header,
            (stream.base ^ index << self._shift).to_bytes(self._nonce_length, "big"),
            (index >> 16).to_bytes(4, "big"),
            self._mki,
        )

    def _begin(self, packet: bytes) -> _Stream:
        if len(packet) < 12:
            raise LocalError("an RTP packet has 12 octets at least", "")
        ssrc = int.from_bytes(packet[8:12], "big")
        index = self._initial.pop(ssrc, 0) << 16 | packet[2] << 8 | packet[3]
        stream = _Stream(self._rtp.nonce_base(ssrc), index)
        self._room(self._streams)
        self._streams[packet[8:12]] = stream
        return stream

    def _room(self, streams: dict[bytes, _Stream]) -> None:
        if len(streams) >= LIMIT:
            raise LocalError(f"{LIMIT} SSRCs were used under one SRTP key", "agree on a new key")

    def protect_rtcp(self, packet: bytes, encrypt: bool = True) -> bytes:
        """The SRTCP packet for a compound or reduced-size RTCP packet. Raises LocalError when the key is used
        up. `encrypt` is False for peers that negotiated UNENCRYPTED_SRTCP only."""
        if len(packet) < SRTCP_HEADER:
            raise LocalError("an RTCP packet has 8 octets at least", "")
        stream = self._rtcp_streams.get(packet[4:8]) or self._begin_rtcp(packet[4:8])
        index = stream.index + 1
        if self._rtcp_left <= 0 or index >= SRTCP_LIFETIME:
            raise LocalError("the SRTP master key has protected all it may", "agree on a new key")
        self._rtcp_left -= 1
        stream.index = index
        nonce = (stream.base ^ index << self._rtcp.index_shift).to_bytes(self._rtcp.nonce_length, "big")
        flagged = (ENCRYPTED | index if encrypt else index).to_bytes(4, "big")
        return self._rtcp.seal_rtcp(packet, flagged, nonce, self._mki)

    def _begin_rtcp(self, ssrc: bytes) -> _Stream:
        self._room(self._rtcp_streams)
        stream = _Stream(self._rtcp.nonce_base(int.from_bytes(ssrc, "big")), -1)
        self._rtcp_streams[ssrc] = stream
        return stream

    def take_over(self, before: SrtpSender, ssrc: int, sequence: int) -> None:
        """Send from now on what `before` sent under another key; `sequence` is that of the next RTP packet. Raises
        LocalError.

        The SRTCP index goes on (RFC 3711 section 3.4). The rollover counter begins at zero, as peers expect that make
        a new context for a new key (RFC 4568 section 7.1.4), or where `begin_at` says. When this key has been used
        before, its index goes on from there, however many packets have left under others meanwhile.
        """
        for name, other in before._rtcp_streams.items():
            report = self._rtcp_streams.get(name) or self._begin_rtcp(name)
            report.index = max(report.index, other.index)
        stream = self._streams.get(ssrc.to_bytes(4, "big"))
        if stream is not None:
            stream.index += (sequence - 1 - stream.index) & 0xFFFF

    def rollover_counter(self, ssrc: int) -> int:
        """Of the last packet that was protected, or what `begin_at` set."""
        stream = self._streams.get(ssrc.to_bytes(4, "big"))
        return self._initial.get(ssrc, 0) if stream is None else stream.index >> 16

    def begin_at(self, ssrc: int, rollover_counter: int) -> None:
        """The rollover counter for the first packet of an SSRC, where the peer was told one (RFC 3830 section
        6.1). Without effect on an SSRC that was used already."""
        if ssrc.to_bytes(4, "big") not in self._streams and len(self._initial) < LIMIT:
            self._initial[ssrc] = rollover_counter

    @property
    def packets_left(self) -> int:
        """How many RTP packets the master key may still protect (RFC 3711 section 9.2)."""
        return self._left
