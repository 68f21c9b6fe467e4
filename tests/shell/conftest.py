"""A small office on loopback: a real server over TLS, with accounts for alice, bob and carol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from segue import Phone
from segue.base.address import Address
from segue.server.authentication import hashes_of
from segue.server.config import Listen, ServerConfig
from segue.server.server import Server
from segue.server.store import Store
from segue.testing.certificates import Authority, Certificate, make_ca, make_certificate

DOMAIN = "example.org"


@dataclass(frozen=True)
class Office:
    folder: Path
    authority: Authority
    port: int
    udp_port: int

    @property
    def registrar(self) -> str:
        return f"127.0.0.1:{self.port}"

    def phone(self, name: str, **changed: Any) -> Phone:
        """Trusts the office's authority, speaks G.711 unless told otherwise."""
        facts: dict[str, Any] = {
            "password": f"of {name}",
            "registrar": self.registrar,
            "ca": self.authority.file,
            "codec": "PCMA",
            "interfaces": ("lo",),
            "family": 4,
            "in_process": True,
        }
        return Phone(f"sip:{name}@{DOMAIN}", **(facts | changed))

    def flags(self, name: str, **changed: str) -> list[str]:
        """The same for `segue call`."""
        secret = self.folder / f"password-{name}"
        secret.touch(mode=0o600)
        secret.write_text(f"of {name}")
        facts = {
            "aor": f"sip:{name}@{DOMAIN}",
            "registrar": self.registrar,
            "password-file": str(secret),
            "ca": self.authority.file,
            "codec": "PCMA",
            "interface": "lo",
            "family": "4",
            "audio-in": "silence",
            "audio-out": "null",
            "state-dir": str(self.folder),
        }
        pairs = ((f"--{name}", value) for name, value in (facts | changed).items() if value)
        return [word for pair in pairs for word in pair]


OpenOffice = Callable[..., AbstractAsyncContextManager[Office]]


@pytest.fixture(scope="session")
def office_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_ca(tmp_path_factory.mktemp("office"))


@pytest.fixture
def open_office(tmp_path: Path, office_authority: Authority) -> OpenOffice:
    """`async with open_office(certificate) as office`."""

    @asynccontextmanager
    async def opened(certificate: Certificate | None = None, **policy: Any) -> AsyncIterator[Office]:
        certificate = certificate or make_certificate(office_authority, names=[DOMAIN])
        database = str(tmp_path / "server.db")
        store = Store(database)
        people = ("alice", "bob", "carol")
        store.put_users(DOMAIN, {name: hashes_of(name, DOMAIN, f"of {name}") for name in people})
        store.close()
        files = {"certificate": certificate.certificate_file, "key": certificate.key_file}
        listens = (Listen("TLS", Address("127.0.0.1", 0)), Listen("UDP", Address("127.0.0.1", 0)))
        async with Server(ServerConfig(DOMAIN, listens, database, **files, **policy)) as server:
            yield Office(tmp_path, office_authority, server.port("TLS"), server.port("UDP"))

    return opened


@pytest.fixture
async def office(open_office: OpenOffice) -> AsyncIterator[Office]:
    async with open_office() as opened:
        yield opened
