"""The paths of one call's media: which one we send on, which ones we listen on.

A path is a local port and the peer's address. What the peer signalled, under the protection of signalling,
says where we send; packets never do, however well they authenticate (design decision 2, CVE-2025-53399).
Authenticated media is played whichever address it came from, so that a peer who has moved is heard before
its signalling arrives.

The old local port stays open until media flows on the new one (decision 6). Paths that are proven without
signalling (ICE) enter here too: `select` is called by whoever holds the proof (`connectivity`).
"""

from __future__ import annotations

from collections.abc import Iterable

from segue.base.address import Address, LocalPort, Path
from segue.base.machine import earliest

LINGER = 0.5  # seconds that the old port still listens after media flows on the new one: reordered packets
SILENT_LINGER = 10.0  # seconds after the peer agreed to the new one, when no media flows (on hold)


def rtcp_port(port: LocalPort) -> LocalPort:
    """The one that was opened beside it for RTCP (RFC 3550 section 11)."""
    return port._replace(address=Address(port.address.host, port.address.port + 1))


class MediaPaths:
    """Pure; the phone opens and closes the sockets behind the ports that are named here."""

    def __init__(self, local: LocalPort) -> None:
        self._ports: list[LocalPort] = [local]
        self._sending: LocalPort = local
        self._remote: Address | None = None
        self._rtcp_remote: Address | None = None
        self._flowing_since: dict[LocalPort, float] = {}
        self._agreed_since: dict[LocalPort, float] = {}
        self._path: Path | None = None
        self._rtcp: Path | None = None  # that is proven to carry it
        self._kept: frozenset[LocalPort] = frozenset()

    @property
    def active(self) -> Path | None:
        """Where our media leaves, or None before the peer's address is known (or in another family)."""
        return self._path

    @property
    def rtcp(self) -> Path | None:
        """Where our RTCP leaves for a peer without rtcp-mux (RFC 5761): from our next port to its own."""
        if self._path is None:
            return None
        port = rtcp_port(self._path.port)
        if self._rtcp is not None and self._rtcp.port == port:
            return self._rtcp
        return Path(*port, self._rtcp_remote) if self._rtcp_remote is not None else None

    @property
    def ports(self) -> tuple[LocalPort, ...]:
        """Everything we listen on, oldest first."""
        return tuple(self._ports)

    @property
    def sending(self) -> LocalPort:
        return self._sending

    def listen_on(self, port: LocalPort) -> None:
        """A port can receive, and is the newest one; sending stays where it is."""
        if port in self._ports:
            self._ports.remove(port)
        self._ports.append(port)

    def listen_beside(self, port: LocalPort) -> None:
        """A port can receive; the newest one stays the newest."""
        if port not in self._ports:
            self._ports.insert(0, port)

    def send_from(self, port: LocalPort) -> None:
        """Our media leaves from `port` from the next packet on."""
        if port not in self._ports:
            self._ports.append(port)
        self._sending = port
        self._update()

    def remote_moved(self, rtp: Address, rtcp: Address) -> None:
        """The peer is reached at these addresses, as protected signalling or a proven check said."""
        self._remote = rtp
        self._rtcp_remote = rtcp
        self._update()

    def select(self, path: Path, base: LocalPort) -> None:
        """Our media leaves on exactly this path from the next packet on: it is proven, or our own move. `base`: the
        port of ours that it leaves from, which is another than the path's when that is relayed."""
        if base not in self._ports:
            self._ports.append(base)
        self._sending = base
        if path.remote != self._remote:
            self._rtcp_remote = None  # it was beside another address
        self._remote, self._path = path.remote, path

    def select_rtcp(self, path: Path | None) -> None:
        """RTCP for a peer without rtcp-mux leaves on this path, as long as our media leaves from beside it."""
        self._rtcp = path

    def stop(self) -> None:
        """Nothing leaves before the peer is somewhere else."""
        self._remote = self._rtcp_remote = self._path = self._rtcp = None

    def keep(self, ports: Iterable[LocalPort]) -> None:
        """These are listened on whatever media does: a move may come back to them."""
        self._kept = frozenset(ports)

    def received(self, port: LocalPort, now: float) -> None:
        """Authenticated media arrived on `port`."""
        if port not in self._flowing_since:
            self._flowing_since[port] = now

    def agreed(self, port: LocalPort, now: float) -> None:
        """The peer has said that it sends to `port` from now on, if it sends."""
        self._agreed_since[port] = now

    def restart_proof(self, port: LocalPort) -> None:
        """Forget that media ever flowed on `port`: a move begins, and only what comes after it counts."""
        self._flowing_since.pop(port, None)
        self._agreed_since.pop(port, None)

    def forget(self, port: LocalPort) -> bool:
        """Stop listening on `port`; False for the one we send from, and for one we do not know."""
        if port == self._sending or port not in self._ports:
            return False
        self._drop(port)
        return True

    @property
    def release_at(self) -> float | None:
        """When the ports before the one we send from are not needed any more; None while that is open."""
        if not self._left():
            return None
        flowing, agreed = self._flowing_since.get(self._sending), self._agreed_since.get(self._sending)
        return earliest(
            None if flowing is None else flowing + LINGER, None if agreed is None else agreed + SILENT_LINGER
        )

    def released(self, now: float) -> list[LocalPort]:
        """Ports that are not needed any more; each is returned once and is no longer listened on. A port that is
        newer than the one we send from belongs to a move that has only begun."""
        due = self.release_at
        if due is None or now < due:
            return []
        old = self._left()
        for port in old:
            self._drop(port)
        return old

    def _left(self) -> list[LocalPort]:
        """Older than the one we send from, and not to be kept."""
        older = self._ports[: self._ports.index(self._sending)]
        return [port for port in older if port not in self._kept]

    def _drop(self, port: LocalPort) -> None:
        self._ports.remove(port)
        self._flowing_since.pop(port, None)
        self._agreed_since.pop(port, None)

    def _update(self) -> None:
        port, remote = self._sending, self._remote
        reachable = remote is not None and remote.family == port.address.family
        self._path = Path(port.interface, port.address, remote) if remote and reachable else None
