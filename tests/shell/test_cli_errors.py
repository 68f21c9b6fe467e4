"""What `segue call` and `segue answer` say when something does not work: one line with a remedy, and a status.

2: something here is to be changed. 1: the other end or the network did not want."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from segue.cli.phone_options import read_config
from segue.testing.certificates import make_ca, make_certificate


async def run(*words: str) -> tuple[int, list[str]]:
    """Exit status, and the lines on stderr that are no course of events."""
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "segue", *words),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await asyncio.wait_for(command.communicate(), 20)
    finally:
        if command.returncode is None:
            command.kill()
    lines = said.decode().splitlines()
    normal = ("registered as", "calling", "ringing", "up with", "ended by")
    assert command.returncode is not None
    return command.returncode, [line for line in lines if not line.startswith(normal)]


async def problem(status: int, *words: str) -> str:
    """The one line."""
    code, lines = await run(*words)
    assert len(lines) == 1, lines
    assert lines[0].startswith("segue: ")
    assert code == status
    assert ": " in lines[0].removeprefix("segue: ")  # a remedy follows
    return lines[0]


@pytest.mark.parametrize("command", [("call", "bob"), ("answer",)], ids=["call", "answer"])
async def test_a_wrong_password(office, tmp_path, command):
    secret = tmp_path / "wrong"
    secret.touch(mode=0o600)
    secret.write_text("guess")
    said = await problem(1, *command, *office.flags("alice", **{"password-file": str(secret)}))
    assert "the password is wrong, or the user unknown" in said and "check user and password" in said


async def test_an_authority_that_is_not_trusted(office, tmp_path):
    flags = office.flags("alice", ca=make_ca(tmp_path, "Another CA").file)
    said = await problem(2, "call", "bob", *flags)
    assert "signed by an authority that is not trusted here" in said and "--ca" in said
    assert "not trusted" in await problem(2, "answer", *flags)


async def _server_with(certificate: Any) -> tuple[asyncio.Server, int]:
    """A TLS server whose certificate no sane server would start with."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate_file, certificate.key_file)
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0, ssl=context)
    return server, server.sockets[0].getsockname()[1]


async def test_a_certificate_for_another_domain(office, office_authority):
    server, port = await _server_with(make_certificate(office_authority, names=["example.net"]))
    async with server:
        flags = office.flags("alice", registrar=f"127.0.0.1:{port}")
        said = await problem(1, "call", "bob", *flags)
    assert "the server is not example.org: its certificate is for example.net" in said


async def test_a_certificate_that_expired(office, office_authority):
    server, port = await _server_with(make_certificate(office_authority, names=["example.org"], expired=True))
    async with server:
        said = await problem(1, "call", "bob", *office.flags("alice", registrar=f"127.0.0.1:{port}"))
    assert "certificate" in said and ("expired" in said or "not valid at this time" in said)


async def test_no_server_there(office):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    said = await problem(1, "call", "bob", *office.flags("alice", registrar=f"127.0.0.1:{port}"))
    assert "takes no connections" in said and "check registrar" in said


async def test_nobody_there(office):
    assert "nobody has that address" in await problem(1, "call", "zed", *office.flags("alice"))
    assert "not reachable now" in await problem(1, "call", "bob", *office.flags("alice"))


async def test_busy(office):
    async with office.phone("bob") as bob:
        await bob.registered()
        calling = asyncio.create_task(problem(1, "call", "bob", *office.flags("alice")))
        async for call in bob.incoming():
            call.reject(486)
            break
        assert "busy" in await calling


async def test_no_common_codec_and_no_encryption(office):
    async with office.phone("bob", codec="PCMU") as bob, office.phone("carol", keying="none") as carol:
        await asyncio.gather(bob.registered(), carol.registered())
        said = await problem(1, "call", "bob", *office.flags("alice"))
        assert "no common codec" in said and "allow a codec" in said
        assert "encryption" in await problem(1, "call", "carol", *office.flags("alice"))
        said = await problem(1, "call", "bob", *office.flags("alice", keying="none", codec="PCMU"))
        assert "encryption" in said


async def test_a_missing_sound_card_is_said_before_anybody_is_called(office):
    begin = time.monotonic()
    said = await problem(2, "call", "bob", *office.flags("alice", **{"audio-in": "", "audio-out": ""}))
    assert "no sound card" in said and "--audio-in" in said
    assert time.monotonic() - begin < 10


async def test_sound_files_that_cannot_be(office):
    flags = office.flags("alice", **{"audio-in": "/nowhere.wav"})
    assert "cannot read sound from '/nowhere.wav'" in await problem(2, "call", "bob", *flags)
    flags = office.flags("alice", **{"audio-out": "/nowhere/heard.wav"})
    assert "there is no such folder" in await problem(2, "call", "bob", *flags)


async def test_ports_in_use(office):
    first = 42000
    taken = []
    for port in range(first, first + 200, 2):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            one.close()  # somebody else has it: as good
            continue
        taken.append(one)
    try:
        said = await problem(2, "call", "bob", *office.flags("alice", **{"local-port": str(first)}))
    finally:
        for one in taken:
            one.close()
    assert "no two adjacent UDP ports are free" in said


async def test_what_is_missing_or_wrong_in_the_options(tmp_path):
    assert "who are you?" in await problem(2, "call", "bob")
    assert "no address of record" in await problem(2, "call", "bob", "--aor", "alice")
    open_secret = tmp_path / "password"
    open_secret.write_text("secret")
    open_secret.chmod(0o644)
    words = ("--aor", "sip:alice@example.org", "--password-file", str(open_secret))
    assert "chmod 600" in await problem(2, "call", "bob", *words)
    file = tmp_path / "alice.toml"
    file.write_text('aor = "sip:alice@example.org"\ncolour = "blue"\n')
    assert "unknown option 'colour'" in await problem(2, "call", "bob", "--config", str(file))
    quiet = ("--audio-in", "silence", "--audio-out", "null", "--state-dir", str(tmp_path))
    words = ("--aor", "sip:alice@example.org", "--codec", "speex")
    assert "no such list of codecs" in await problem(2, "call", "bob", *words, *quiet)


def test_a_toml_file_has_the_options(tmp_path: Path):
    file = tmp_path / "alice.toml"
    file.write_text(
        'aor = "sip:alice@example.org"\nregistrar = "sip.example.org"\ncodec = ["PCMA", "opus"]\n'
        'audio-in = "speech"\nstate-dir = "' + str(tmp_path) + '"\n'
    )
    config = read_config({"config_file": str(file), "audio_out": "null"})
    assert (config.account.aor, config.account.registrar) == ("sip:alice@example.org", "sip.example.org")
    assert config.media.codecs == ("PCMA", "opus")
    assert (config.sound.audio_in, config.sound.audio_out) == ("speech", "null")
