"""A phone whose defences are off, for controls: `python -m segue.lab.attacks.weak_phone OPTIONS`, in the lab only.

OPTIONS is JSON: `aor`, `registrar`, `transport`, `password` (file), `ca`, `family`, `codec`, `keying`, `audio_in`,
`audio_out`, `state` (folder), `answer_after`, and `weak`, a list of

- "replay": SRTP without a replay list, RTP that believes any packet, and playout that plays what comes as it comes;
- "unauthenticated": SRTP that decrypts and does not look at the tag;
- "rtcp_bye": the peer's RTCP BYE ends the call;
- "credulous": media goes to where the newest connectivity check came from, whoever sent it.

It is the phone's own engine with these parts exchanged, answers every call, and prints its events as `segue answer
--events` does.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from segue.base.address import Path as MediaPath
from segue.base.errors import LocalError, RemoteError
from segue.base.frame import Frame, Samples
from segue.base.keying import MasterKey, SrtpKeys, Suite
from segue.base.secret import Secret
from segue.call import call, call_media
from segue.call.agreement import MediaAgreement
from segue.call.call_media import CallMedia
from segue.call.config import MediaConfig
from segue.call.media_session import MediaSession
from segue.lab.attacks.process import refuse_outside_lab
from segue.media.codecs import Codec
from segue.media.playout import Playout
from segue.phone.config import Account, Networks, PhoneConfig, Sound
from segue.phone.engine import Engine
from segue.protocols.rtp.packet import RtpPacket
from segue.protocols.rtp.receiver import RtpSource
from segue.protocols.srtp.context import SrtpReceiver, SrtpSender

_LOOK = 0.05  # seconds between two looks for an RTCP BYE


class ForgetfulReceiver(SrtpReceiver):
    """Authenticates each packet as if it were the first: nothing is a replay. Rollover counters 0 and 1 only."""

    def __init__(self, suite: Suite, keys: list[MasterKey]) -> None:
        super().__init__(suite, keys)
        self._all = keys

    def add_key(self, master_key: MasterKey, suite: Suite | None = None) -> None:
        super().add_key(master_key, suite)
        self._all = [*getattr(self, "_all", []), master_key]

    def unprotect(self, packet: bytes) -> bytes | None:
        return SrtpReceiver(self.suite, self._all).unprotect(packet)


class TrustingReceiver(SrtpReceiver):
    """Decrypts and takes what comes out, whatever the tag. In counter mode, encrypting again is decrypting.
    Rollover counter 0 only."""

    def __init__(self, suite: Suite, key: MasterKey) -> None:
        super().__init__(suite, [key])
        self._key = key
        self._tag = 16 if suite.value.startswith("AEAD") else int(suite.value[-2:]) // 8

    def unprotect(self, packet: bytes) -> bytes | None:
        if len(packet) < 12 + self._tag:
            return None
        return SrtpSender(self.suite, self._key).protect(packet[: -self._tag])[: -self._tag]


class NaivePlayout(Playout):
    """Plays each packet when it comes, in whatever order and however often: each pull gives all that came."""

    def __init__(self, codecs: Mapping[int, Codec]) -> None:
        super().__init__(codecs)
        self._by_type = dict(codecs)
        self._came: list[Samples] = []

    def use_codecs(self, codecs: Mapping[int, Codec]) -> None:
        self._by_type = dict(codecs)

    def put(self, payload_type: int, _sequence: int, _timestamp: int, payload: bytes, *_: object) -> bool:
        codec = self._by_type.get(payload_type)
        if codec is None:
            return False
        try:
            self._came.append(codec.decode(payload))
        except RemoteError:
            return False
        return True

    def get(self, now: float) -> Frame:
        came, self._came = self._came, []
        return Frame(np.concatenate(came) if came else np.zeros(0, dtype=np.int16), self.rate, now)


class ReplayableSession(MediaSession):
    """A media session that takes everything that is authentic, as often as it comes."""

    def install(self, keys: SrtpKeys, now: float) -> None:
        super().install(keys, now)
        self._srtp_in = ForgetfulReceiver(keys.suite, [keys.remote])

    def _source(self, packet: RtpPacket) -> RtpSource:
        return RtpSource(packet.ssrc, 8000)

    def _use_decoders(self, agreement: MediaAgreement) -> None:
        super()._use_decoders(agreement)
        if not isinstance(self._playout, NaivePlayout):
            self._playout = NaivePlayout(self._decoders)


class TrustingSession(MediaSession):
    """A media session that decrypts without authenticating."""

    def install(self, keys: SrtpKeys, now: float) -> None:
        super().install(keys, now)
        self._srtp_in = TrustingReceiver(keys.suite, keys.remote)


class CredulousMedia(CallMedia):
    """Media of a call that goes where the newest check came from."""

    _believed: MediaPath | None = None

    def receive(self, datagram: bytes, path: MediaPath, now: float) -> bool:
        if datagram[:2] == b"\0\1":
            self._believed = path
        return super().receive(datagram, path, now)

    def ways(self, *packet: Any) -> tuple[MediaPath, ...]:
        return super().ways(*packet) if self._believed is None else (self._believed,)


class WeakPhone:
    """Answers every call. `weak` as in the module's words."""

    def __init__(self, config: PhoneConfig, weak: list[str], answer_after: float) -> None:
        refuse_outside_lab()
        for defence, session in (("replay", ReplayableSession), ("unauthenticated", TrustingSession)):
            if defence in weak:
                setattr(call_media, "MediaSession", session)  # noqa: B010 (a type may not be assigned)
        if "credulous" in weak:
            setattr(call, "CallMedia", CredulousMedia)  # noqa: B010
        self._obeys_rtcp_bye = "rtcp_bye" in weak
        self._answer_after = answer_after
        self._loop = asyncio.get_running_loop()
        self._engine = Engine(config, self._take, verbose=True)
        self._done = asyncio.Event()

    async def run(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self._done.set)
        self._engine.start()
        self._look()
        await self._done.wait()
        await self._engine.stop()

    def _take(self, line: dict[str, Any]) -> None:
        print(json.dumps(line), flush=True)
        if line["event"] == "incoming_call":
            self._loop.call_later(self._answer_after, self._answer, line["call_id"])

    def _answer(self, call_id: str) -> None:
        if call_id in self._engine.agent.calls:
            self._engine.answer(call_id)

    def _look(self) -> None:
        if self._obeys_rtcp_bye:
            for call in self._engine.agent.live_calls():
                if call.media.session.peer_left:
                    self._engine.hang_up(call.id)
        self._loop.call_later(_LOOK, self._look)


def config_of(options: dict[str, Any]) -> PhoneConfig:
    """Raises LocalError for what cannot be."""
    account = Account(
        aor=options["aor"],
        registrar=options.get("registrar", ""),
        transport=options["transport"],
        password=Secret(Path(options["password"]).read_text().strip()),
        instance=uuid.uuid4().urn,
        ca=options.get("ca", ""),
    )
    return PhoneConfig(
        account=account,
        media=MediaConfig(codecs=(options["codec"],), keying=options["keying"]),
        sound=Sound(options["audio_in"], options["audio_out"]),
        networks=Networks(family=options["family"]),
    )


def main() -> None:
    options = json.loads(sys.argv[1])
    try:
        refuse_outside_lab()
    except LocalError as error:
        print(f"weak phone: {error}", file=sys.stderr)
        sys.exit(2)

    async def live() -> None:
        await WeakPhone(config_of(options), options["weak"], options["answer_after"]).run()

    asyncio.run(live())


if __name__ == "__main__":
    main()
