"""What `segue call` and `segue answer` say when something does not work: one line with a remedy, and a status.

2: something here is to be changed. 1: the other end or the network did not want."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any

import pytest

from segue.lab.networks.namespaces import in_user_namespace
from segue.server.config import Policy
from segue.testing.certificates import make_ca, make_certificate


async def run(*words: str, within: Sequence[str] = ()) -> tuple[int, list[str]]:
    """Exit status, and the lines on stderr that are no course of events. `within`: what the command runs under."""
    command = await asyncio.create_subprocess_exec(
        *(*within, sys.executable, "-m", "segue", *words),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await asyncio.wait_for(command.communicate(), 20)
    finally:
        if command.returncode is None:
            command.kill()
    lines = said.decode().splitlines()
    normal = ("connecting to", "registered as", "calling", "ringing", "up with", "ended by")
    assert command.returncode is not None
    return command.returncode, [line for line in lines if not line.startswith(normal)]


async def problem(status: int, *words: str, within: Sequence[str] = ()) -> str:
    """The one line."""
    code, lines = await run(*words, within=within)
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


async def test_a_wrong_password_is_tried_once_so_that_no_server_locks_the_user_out(office, tmp_path):
    secret = tmp_path / "wrong"
    secret.touch(mode=0o600)
    secret.write_text("guess")
    flags = office.flags("alice", **{"password-file": str(secret)})
    for _ in range(8):  # the server is silent after ten wrong passwords
        assert "password is wrong" in await problem(1, "answer", *flags)


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


async def test_a_user_that_the_server_does_not_know(office):
    flags = office.flags("zed")
    assert "or the user unknown" in await problem(1, "call", "bob", *flags)
    assert "or the user unknown" in await problem(1, "answer", *flags)


async def test_no_answer(open_office):
    async with open_office(policy=Policy(timer_c=1.0)) as office, office.phone("bob") as bob:
        await bob.registered()
        said = await problem(1, "call", "bob", *office.flags("alice"))
    assert "no answer" in said and "try again later" in said


async def test_keys_are_not_sent_where_all_can_read_them(office):
    flags = office.flags("alice", transport="udp", registrar=f"127.0.0.1:{office.udp_port}")
    assert "--keying none" in await problem(2, "call", "bob", *flags)


async def test_no_permission_for_namespaces(tmp_path):
    """As where the system permits them to nobody: here, in a user namespace that may make no others."""
    forbid = 'for kind in net user; do echo 0 > /proc/sys/user/max_${kind}_namespaces; done; exec "$@"'
    within = in_user_namespace(["sh", "-c", forbid, "sh"])
    for words in (("lab", "run", "walk"), ("demo", "--into", str(tmp_path))):
        said = await problem(2, *words, within=within)
        assert "no permission to make" in said and "run as root, or allow" in said
    assert list(tmp_path.iterdir()) == []


async def test_what_is_for_the_lab_only(office, tmp_path):
    flags = office.flags("alice")
    for option in (("--initial-sequence", "65000"), ("--srtp-keys-to", str(tmp_path / "keys"))):
        assert "only inside the lab" in await problem(2, "call", "bob", *flags, *option)
        assert "only inside the lab" in await problem(2, "answer", *flags, *option)
    file = tmp_path / "alice.toml"
    file.write_text(f'srtp-keys-to = "{tmp_path / "keys"}"\n')
    assert "only inside the lab" in await problem(2, "call", "bob", *flags, "--config", str(file))
    assert not (tmp_path / "keys").exists()


async def test_certificate_files_that_are_none(office, tmp_path):
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    assert "holds no CA certificates" in await problem(2, "call", "bob", *office.flags("alice", ca=str(junk)))
    flags = office.flags("alice", cert=str(junk), key=str(junk))
    assert "no certificate and key" in await problem(2, "answer", *flags)
    assert "its key" in await problem(2, "answer", *office.flags("alice", cert=str(junk)))


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


async def test_a_server_s_port_in_use(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        place = f"udp:127.0.0.1:{taken.getsockname()[1]}"
        words = ("--domain", "example.org", "--db", str(tmp_path / "server.db"), "--listen", place)
        said = await problem(2, "server", *words)
    assert "in use" in said and "--listen" in said


async def test_an_interface_that_is_not_there(office):
    said = await problem(1, "call", "bob", *office.flags("alice", interface="wlan7"))
    assert "there is no network wlan7" in said


async def test_a_command_that_is_none_and_options_that_are_none(tmp_path):
    assert "Did you mean 'call'?" in await problem(2, "cal")
    assert "URI" in await problem(2, "call")
    assert "there is nobody to call" in await problem(
        2, "call", "", "--aor", "sip:a@b", "--state-dir", str(tmp_path)
    )
    assert "'--audio-in'" in await problem(2, "call", "bob", "--audio-im", "x")
    assert "see segue answer --help" in await problem(2, "answer", "--family", "5")
    assert "no run" in await problem(2, "lab", "report", str(tmp_path))
    assert "--json" in await problem(2, "lab", "run", "walk", "--json", str(tmp_path / "none" / "out.json"))
    assert "no such list of codecs" in await problem(2, "lab", "run", "walk", "--codec", "speex")
    assert "'quick'" in await problem(2, "lab", "run", "quick")


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
    for text, told in (
        ("once = 1", "once is not true or false"),
        ("duration = 'long'", "duration is not a number"),
        ("codec = [1, []]", "codec is not a list of texts"),
        ("ca = true", "ca is not text"),
        ("aor = ", "is no TOML"),
        ("family = 5", "'--family'"),
        ("answer-after = -1", "'--answer-after'"),
    ):
        file.write_text(text)
        assert told in await problem(2, "answer", "--config", str(file))
    quiet = ("--audio-in", "silence", "--audio-out", "null", "--state-dir", str(tmp_path))
    words = ("--aor", "sip:alice@example.org", "--codec", "speex")
    assert "no such list of codecs" in await problem(2, "call", "bob", *words, *quiet)
