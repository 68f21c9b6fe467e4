"""`segue server` as a process: killed without warning, every registration it confirmed is still there."""

from __future__ import annotations

import os
import select
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from segue.base.secret import Secret
from segue.protocols.sip.digest import DigestClient
from segue.protocols.sip.message import Headers, Request, Response, response_to
from segue.protocols.sip.parser import parse_message
from segue.testing import SeededEntropy

DOMAIN = "example.org"
USERS = 40
RUN = "import sys; from segue.cli.main import main; main(sys.argv[1:])"


class ServerProcess:
    def __init__(self, folder: Path, port: int = 0, *more: str) -> None:
        users = folder / "users"
        users.touch(mode=0o600)
        users.write_text("".join(f"u{number}:pw{number}\n" for number in range(USERS)))
        command = [
            sys.executable,
            "-c",
            RUN,
            "server",
            "--domain",
            DOMAIN,
            "--listen",
            f"udp:127.0.0.1:{port}",
        ]
        command += ["--db", str(folder / "server.db"), "--users", str(users), *more]
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], 15)[0], "the server does not start"
        self.port = int(self.process.stdout.readline().rpartition(":")[2])

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


class UdpPhone:
    def __init__(self, number: int, port: int) -> None:
        self.name = f"u{number}"
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(5)
        self.place = "{}:{}".format(*self.socket.getsockname())
        self.server = ("127.0.0.1", port)
        self.entropy = SeededEntropy(f"{number} {self.place}")
        self.digest = DigestClient(self.name, Secret(f"pw{number}"), self.entropy)
        self.sequence = 0

    def request(self, method: str, uri: str, to: str, **fields: str) -> Request:
        self.sequence += 1
        headers = Headers(
            [
                ("Via", f"SIP/2.0/UDP {self.place};rport;branch=z9hG4bK{self.entropy.octets(6).hex()}"),
                ("Max-Forwards", "70"),
                ("From", f"<sip:{self.name}@{DOMAIN}>;tag=1"),
                ("To", to),
                ("Call-ID", f"{method}-{self.place}"),
                ("CSeq", f"{self.sequence} {method}"),
                *fields.items(),
            ]
        )
        return Request(method, uri, headers)

    def send(self, message: Request | Response) -> None:
        self.socket.sendto(message.to_bytes(), self.server)

    def receive(self) -> Request | Response:
        return parse_message(self.socket.recv(65535))

    def final(self) -> Response:
        while not (isinstance(message := self.receive(), Response) and message.status >= 200):
            pass
        return message

    def ask(self, method: str, uri: str, to: str, **fields: str) -> Response:
        self.send(self.request(method, uri, to, **fields))
        challenge = self.final()
        again = self.request(method, uri, to, **fields)
        assert self.digest.accept(again, challenge)
        self.digest.prepare(again)
        self.send(again)
        return self.final()

    def register(self, **fields: str) -> Response:
        contact = f"<sip:{self.name}@{self.place}>"
        return self.ask(
            "REGISTER", f"sip:{DOMAIN}", f"<sip:{self.name}@{DOMAIN}>", **{"Contact": contact, **fields}
        )

    def fetch(self) -> list[str]:
        request = self.request("REGISTER", f"sip:{DOMAIN}", f"<sip:{self.name}@{DOMAIN}>")
        self.send(request)
        challenge = self.final()
        again = self.request("REGISTER", f"sip:{DOMAIN}", f"<sip:{self.name}@{DOMAIN}>")
        self.digest = DigestClient(self.name, self.digest._password, self.entropy)
        assert self.digest.accept(again, challenge)
        self.digest.prepare(again)
        self.send(again)
        return [str(contact.uri) for contact in self.final().contacts]


@pytest.fixture
def phones():
    made: list[UdpPhone] = []
    yield made
    for phone in made:
        phone.socket.close()


def test_what_was_confirmed_survives_kill_9_and_calls_still_reach_it(tmp_path, phones):
    server = ServerProcess(tmp_path)
    try:
        phones += [UdpPhone(number, server.port) for number in range(USERS)]
        for phone in phones:
            assert phone.register().status == 200
        # The last is killed in the middle of a burst: only confirmed ones count.
        burst = [
            phone.request("REGISTER", f"sip:{DOMAIN}", f"<sip:{phone.name}@{DOMAIN}>") for phone in phones
        ]
        for phone, request in zip(phones[:-1], burst[:-1], strict=True):
            request.headers.set("Contact", f"<sip:{phone.name}@{phone.place}>, <sip:second@{phone.place}>")
            phone.digest.prepare(request)
            phone.send(request)
        assert phones[0].final().status == 200
    finally:
        server.kill()
    confirmed = {phones[0].name}
    for phone in phones[1:-1]:
        phone.socket.settimeout(0.05)
        try:
            if phone.final().status == 200:
                confirmed.add(phone.name)
        except OSError:
            pass
        phone.socket.settimeout(5)
    server = ServerProcess(tmp_path, server.port)
    try:
        for phone in phones:
            contacts = phone.fetch()
            assert f"sip:{phone.name}@{phone.place}" in contacts
            if phone.name in confirmed:
                assert f"sip:second@{phone.place}" in contacts
        caller, callee = phones[0], phones[-1]
        caller.send(caller.request("INVITE", f"sip:{callee.name}@{DOMAIN}", f"<sip:{callee.name}@{DOMAIN}>"))
        challenge = caller.final()
        again = caller.request("INVITE", f"sip:{callee.name}@{DOMAIN}", f"<sip:{callee.name}@{DOMAIN}>")
        assert caller.digest.accept(again, challenge)
        caller.digest.prepare(again)
        caller.send(again)
        while (message := callee.receive()).headers.get("CSeq") != again.headers.get("CSeq"):
            pass
        assert isinstance(message, Request)
        callee.send(response_to(message, 603, to_tag="x"))
        while (answer := caller.final()).status == 407:  # not acknowledged here, so it is repeated
            pass
        assert answer.status == 603
    finally:
        server.kill()


def test_an_unregistered_phone_stays_unregistered(tmp_path, phones):
    server = ServerProcess(tmp_path)
    try:
        phones.append(UdpPhone(0, server.port))
        assert len(phones[0].register().contacts) == 1
        assert phones[0].register(Expires="0").contacts == []
    finally:
        server.kill()
    server = ServerProcess(tmp_path, server.port)
    try:
        assert phones[0].fetch() == []
    finally:
        server.kill()


def test_the_database_is_private_and_holds_no_password(tmp_path, phones):
    server = ServerProcess(tmp_path)
    try:
        phones.append(UdpPhone(0, server.port))
        phones[0].register()
    finally:
        server.kill()
    for file in tmp_path.glob("server.db*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        assert b"pw17" not in file.read_bytes()
    with sqlite3.connect(tmp_path / "server.db") as database:
        assert database.execute("select count(*) from users").fetchone()[0] == 3 * USERS
