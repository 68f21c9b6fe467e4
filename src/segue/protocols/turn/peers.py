"""Whom an allocation may exchange data with: permissions and channels (RFC 8656 sections 9 and 12)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from segue.base.address import Address
from segue.base.machine import earliest
from segue.protocols.turn.channel_data import FIRST_CHANNEL

REFRESH = 240.0  # seconds: permissions last 300, channels 600
REFUSED = 60.0  # seconds until a host that was refused is asked for again
HOSTS = 64  # with permissions
CHANNELS = 32  # of one allocation, fewer than hosts; further peers get their data by Send indications


@dataclass(slots=True)
class _Permission:
    """`due`: when to ask again; None while a request is under way."""

    due: float | None = None
    refused: bool = False
    used: float = 0.0


class Peers:
    """`wanted` says what to ask for; `granted` and `refused` what came of it."""

    def __init__(self) -> None:
        self._permissions: dict[str, _Permission] = {}
        self._channels: dict[Address, int] = {}  # asked for or bound; never given back
        self._bound: dict[Address, int] = {}
        self._by_number: dict[int, Address] = {}

    # Permissions

    def permits(self, host: str) -> bool:
        """Whether data may come from there: a permission was asked for, and not refused."""
        permission = self._permissions.get(host)
        return permission is not None and not permission.refused

    def want(self, host: str, now: float) -> None:
        """A host that data will go to. The one that was longest of no use makes room."""
        permission = self._permissions.get(host)
        if permission is None:
            if len(self._permissions) >= HOSTS:
                bound = {peer.host for peer in self._channels}
                spare = [each for each in self._permissions if each not in bound]
                del self._permissions[min(spare, key=lambda each: self._permissions[each].used)]
            self._permissions[host] = _Permission(due=now, used=now)
        else:
            permission.used = now

    def due_permissions(self, now: float, most: int) -> list[str]:
        """Hosts to ask for, which are under way from now on. Those with a channel are refreshed by it."""
        by_channel = {peer.host for peer in self._bound}
        hosts = [
            host
            for host, each in self._permissions.items()
            if each.due is not None and each.due <= now and host not in by_channel
        ][:most]
        for host in hosts:
            self._permissions[host].due = None
        return hosts

    def granted(self, host: str, now: float) -> None:
        if host in self._permissions:
            self._permissions[host].due = now + REFRESH
            self._permissions[host].refused = False

    def refused(self, host: str, now: float) -> None:
        if host in self._permissions:
            self._permissions[host].due = now + REFUSED
            self._permissions[host].refused = True

    def again(self, hosts: Iterable[str], now: float) -> None:
        """Nothing was said about them."""
        for host in hosts:
            if host in self._permissions:
                self._permissions[host].due = now

    # Channels

    def channel(self, peer: Address) -> int | None:
        """The number to send to a peer with, when it is bound."""
        return self._bound.get(peer)

    def peer(self, number: int) -> Address | None:
        """Who sends on a channel; from the moment we asked for it (section 12)."""
        return self._by_number.get(number)

    def new_channel(self, peer: Address, now: float) -> int | None:
        """A number to ask for; None when the peer has one or there are enough. A number is never used again."""
        if peer in self._channels or len(self._channels) >= CHANNELS:
            return None
        number = FIRST_CHANNEL + len(self._channels)
        self._channels[peer] = number
        self._by_number[number] = peer
        self.want(peer.host, now)
        self._permissions[peer.host].due = None
        return number

    def due_channels(self, now: float) -> list[tuple[Address, int]]:
        """Bound ones to ask for again."""
        due = []
        for peer, number in self._bound.items():
            permission = self._permissions.get(peer.host)
            if permission is not None and permission.due is not None and permission.due <= now:
                due.append((peer, number))
        for peer, _ in due:
            self._permissions[peer.host].due = None
        return due

    def bound(self, peer: Address, now: float) -> None:
        self._bound[peer] = self._channels[peer]
        self.granted(peer.host, now)

    def unbound(self, peer: Address, now: float) -> None:
        """The server would not: Send indications are left, under a permission that is asked for at once."""
        self._bound.pop(peer, None)
        if peer.host in self._permissions:
            self._permissions[peer.host].due = now

    def deadline(self) -> float | None:
        return earliest(*(each.due for each in self._permissions.values()))
