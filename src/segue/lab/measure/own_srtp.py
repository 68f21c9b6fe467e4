"""For the suites that libsrtp's binding does not have: our own contexts judge the capture."""

from __future__ import annotations

from collections.abc import Sequence

from segue.base.keying import MasterKey, Suite
from segue.base.secret import Secret
from segue.protocols.srtp.context import SrtpReceiver


def unopened(stream: Sequence[bytes], suite: str, key: dict[str, str], rtcp: bool = False) -> list[bytes]:
    """The packets that do not open with this key."""
    master = MasterKey(Secret(bytes.fromhex(key["key"])), Secret(bytes.fromhex(key["salt"])))
    receiver = SrtpReceiver(Suite(suite), [master], window=32_000)
    open_ = receiver.unprotect_rtcp if rtcp else receiver.unprotect
    return [packet for packet in stream if open_(packet) is None]
