"""SRTP contexts of both directions: what other rooms import."""

from __future__ import annotations

from segue.protocols.srtp.receiver import SrtpReceiver
from segue.protocols.srtp.sender import SrtpSender

__all__ = ["SrtpReceiver", "SrtpSender"]
