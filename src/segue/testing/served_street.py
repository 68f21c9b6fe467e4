"""Phones in virtual time with our real server between them: registrations, forks, flows that die unnoticed.

As `phones.Street`, but each message goes to the server's core on the flow that the phone sent it on, and the server
decides where it goes. A stream whose network is lost is not closed: the server goes on sending into it, and hears
where the phone is when that registers anew, as with a radio that is gone.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

from segue.base.address import Path
from segue.base.errors import RemoteError
from segue.base.secret import Secret
from segue.phone.config import PhoneConfig
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.framing import PONG
from segue.protocols.sip.parser import parse_message
from segue.server.authentication import hashes_of
from segue.server.config import Listen, ServerConfig
from segue.server.core import CloseFlow, ServerCore
from segue.testing.entropy import SeededEntropy
from segue.testing.phones import PROXY, SentMessage, Street, TestPhone, phone_config

PASSWORD = "sesame"


def registered_phone(name: str, *, device: int = 0, **options: Any) -> PhoneConfig:
    """`phone_config` of a phone that registers, with the password that the server knows. `device` tells the phones
    of one user apart."""
    account = phone_config(name, register=True, **options).account
    instance = account.instance.replace("urn:uuid:00000000", f"urn:uuid:{device:08d}")
    account = dataclasses.replace(account, password=Secret(PASSWORD), instance=instance)
    return dataclasses.replace(phone_config(name, register=True, **options), account=account)


class ServedStreet(Street):
    """`devices`: further phones, of any account. `passed`: every message that the server sent. `told`: the server
    hears at once when a stream breaks, also when its network is lost."""

    def __init__(
        self, first: PhoneConfig, second: PhoneConfig, *devices: PhoneConfig, **options: Any
    ) -> None:
        super().__init__(first, second, **options)
        more = (TestPhone(f"device {n}", config, self) for n, config in enumerate(devices, 3))
        self.phones = (*self.phones, *more)
        users = {phone.agent.config.account.username for phone in self.phones}
        config = ServerConfig(
            "example.org", (Listen(self.transport, PROXY),), ":memory:", certificate="c", key="k"
        )
        self.told = False
        self.passed: list[SentMessage] = []
        self.core = ServerCore(
            config,
            {user: hashes_of(user, "example.org", PASSWORD) for user in users},
            Secret(b"k" * 32),
            SeededEntropy(f"server/{self.seed}"),
        )
        self._left: set[Flow] = set()  # those that their phones have closed
        self._ends: dict[Flow, tuple[TestPhone, Flow]] = {}  # the server's flows, and whose they are

    def drain(self) -> None:
        super().drain()
        for phone in self.phones:
            for flow in phone.flows:
                self._accept(phone, flow)
        for end, (phone, flow) in list(self._ends.items()):
            if not self._is_open(phone, flow) and end not in self._left:
                self._left.add(end)
                self.later(self.wire.delay / 2, partial(self._closed, end))

    def _accept(self, phone: TestPhone, flow: Flow) -> None:
        end = self._end_of(flow)
        if end not in self._ends:
            self._ends[end] = (phone, flow)
            if flow.reliable:
                self.core.opened(end, self.now)

    @staticmethod
    def _is_open(phone: TestPhone, flow: Flow) -> bool:
        """Also for the stream of a datagram flow, which takes what is large."""
        return flow in phone.flows or any(flow == known.stream for known in phone.flows)

    @staticmethod
    def _end_of(flow: Flow) -> Flow:
        """The server's name of a phone's flow."""
        return Flow(flow.transport, flow.remote, flow.local, serial=flow.serial)

    def _closed(self, end: Flow) -> None:
        phone, flow = self._ends[end]
        if end.reliable and (self.told or not self._is_dead(phone, flow.interface)):
            self.core.closed(end, self.now)
            self._serve()

    def _send_sip(self, phone: TestPhone, flow: Flow, octets: bytes) -> None:
        self.messages.append(SentMessage(self.now, phone.name, flow, octets))
        if self._is_dead(phone, flow.interface) or not self._is_open(phone, flow):
            return
        if self.alter is not None:
            octets = self.alter(phone.name, octets)
        self._accept(phone, flow)
        self._carry(phone, flow, partial(self._reach_server, self._end_of(flow), octets))

    def _carry(self, phone: TestPhone, flow: Flow, deliver: Any) -> None:
        """Half of the way between two phones; a stream keeps its order."""
        at = self.now + self.wire.delay / 2
        if flow.reliable:
            stream = (phone.name, flow.serial)
            at = self._stream_end[stream] = max(at, self._stream_end.get(stream, 0.0))
        self.later(at - self.now, deliver)

    def _reach_server(self, end: Flow, octets: bytes) -> None:
        self.core.receive(octets, end, self.now)
        self._serve()

    def _serve(self) -> None:
        while (batch := self.core.take_batch()) is not None:
            self.core.committed(batch, True, self.now)
        for event in self.core.events():
            if isinstance(event, CloseFlow):
                self.core.closed(event.flow, self.now)
        for end, octets in self.core.transmits():
            phone, flow = self._ends[end]
            self.passed.append(SentMessage(self.now, "server", end, octets))
            if not self._is_dead(phone, flow.interface) and octets != PONG:
                self._carry(phone, flow, partial(self._reach_phone, phone, flow, octets))

    def _reach_phone(self, phone: TestPhone, flow: Flow, octets: bytes) -> None:
        if self._is_open(phone, flow) and not self._is_dead(phone, flow.interface):
            try:
                phone.agent.receive(parse_message(octets), flow, self.now)
            except RemoteError:
                return

    def _deadline(self, end: float) -> float:
        deadline = self.core.deadline()
        return min(super()._deadline(end), end if deadline is None else max(deadline, self.now))

    def _due(self) -> None:
        deadline = self.core.deadline()
        if deadline is not None and deadline <= self.now:
            self.core.expire(self.now)
            self._serve()
        super()._due()

    # Media: to whoever has the address

    def send_media(self, phone: TestPhone, path: Path, packet: bytes) -> None:
        if self._is_dead(phone, path.interface) or phone.name in self.muted:
            return
        for target in self.phones:
            if any(port.address.host == path.remote.host for port in target.ports.open_ports):
                source = (phone.name, path.interface)
                self.wire.send(source, target.name, ("media", (path, packet)), self.now)
                return
