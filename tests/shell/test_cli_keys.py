"""`segue keys` as a user meets it: files, modes, words, and certificates that the rest of Segue accepts."""

from __future__ import annotations

import json
import os
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from segue.base.errors import LocalError
from segue.cli.main import cli
from segue.net.certificate_names import certificate_names, is_current, matches


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    before = os.umask(0)  # the worst there is
    yield tmp_path / "keys"
    os.umask(before)


def keys(*words: str) -> Result:
    return CliRunner().invoke(cli, ["keys", *words])


def told(result: Result) -> LocalError:
    """What the user is told; one line."""
    assert isinstance(result.exception, LocalError), result.output
    assert "\n" not in str(result.exception)
    return result.exception


def der(path: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(path.read_text())


def test_an_office_from_nothing(folder: Path) -> None:
    for words in (["ca"], ["server", "Example.org"], ["client", "sip:alice@example.org"]):
        assert keys(*words).exit_code == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "alice-example.org.key", "alice-example.org.pem", "ca.key", "ca.pem", "example.org.key", "example.org.pem",
    ]  # fmt: skip
    assert {path.stat().st_mode & 0o777 for path in folder.glob("*.key")} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_server_s_certificate_speaks_for_its_domain_and_host(folder: Path) -> None:
    keys("ca")
    keys("server", "example.org", "--name", "sip.example.org")
    octets = der(folder / "example.org.pem")
    names = certificate_names(octets)
    assert matches(names, "example.org") and matches(names, "sip.example.org")
    assert not matches(names, "other.example.org")
    assert is_current(octets, time.time())
    shown = json.loads(keys("show", "--json", "keys/example.org.pem").output)
    assert shown["names"] == ["sip:example.org", "sip:sip.example.org", "example.org", "sip.example.org"]


@pytest.mark.parametrize(
    ("domain", "identity"),
    [("192.0.2.7", "192.0.2.7"), ("2001:db8::7", "2001:db8::7"), ("büro.de", "xn--bro-hoa.de")],
)
def test_addresses_and_international_names(folder: Path, domain: str, identity: str) -> None:
    keys("ca")
    assert keys("server", domain).exit_code == 0
    made = next(path for path in folder.glob("*.pem") if path.name != "ca.pem")
    assert matches(certificate_names(der(made)), identity)


def handshake(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> dict[str, object]:
    """Both ends of TLS over memory; what the server learns of the client's certificate."""
    ends = [(ssl.MemoryBIO(), ssl.MemoryBIO()) for _ in range(2)]
    client = client_context.wrap_bio(*ends[0], server_hostname="example.org")
    server = server_context.wrap_bio(*ends[1], server_side=True)
    for _ in range(8):
        for end in (client, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
        ends[1][0].write(ends[0][1].read())
        ends[0][0].write(ends[1][1].read())
    return dict(server.getpeercert() or {})


def test_phones_and_server_authenticate_each_other(folder: Path) -> None:
    for words in (["ca"], ["server", "example.org"], ["client", "alice@example.org"]):
        assert keys(*words).exit_code == 0
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "example.org.pem", folder / "example.org.key")
    server.load_verify_locations(folder / "ca.pem")
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    client.load_cert_chain(folder / "alice-example.org.pem", folder / "alice-example.org.key")
    assert handshake(server, client)["subjectAltName"] == (("URI", "sip:alice@example.org"),)


def test_a_user_s_certificate_is_no_server_s(folder: Path) -> None:
    for words in (["ca"], ["client", "alice@example.org"]):
        assert keys(*words).exit_code == 0
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "alice-example.org.pem", folder / "alice-example.org.key")
    client = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    client.check_hostname = False
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, client)


def test_nothing_is_replaced_unless_asked(folder: Path) -> None:
    keys("ca")
    before = (folder / "ca.key").read_bytes()
    assert "exists already" in told(keys("ca")).problem
    assert (folder / "ca.key").read_bytes() == before
    assert keys("ca", "--force").exit_code == 0
    assert (folder / "ca.key").read_bytes() != before
    assert (folder / "ca.key").stat().st_mode & 0o777 == 0o600


def test_nothing_half_written(folder: Path) -> None:
    keys("ca")
    (folder / "example.org.pem").write_text("somebody else's")
    told(keys("server", "example.org"))
    assert not (folder / "example.org.key").exists()
    assert not list(folder.glob(".*"))


@pytest.mark.usefixtures("folder")
def test_without_an_authority_the_user_hears_how_to_make_one() -> None:
    assert "segue keys ca" in told(keys("server", "example.org")).remedy


def test_a_key_that_others_can_read_is_not_used(folder: Path) -> None:
    keys("ca")
    (folder / "ca.key").chmod(0o640)
    assert told(keys("server", "example.org")).remedy == "chmod 600 keys/ca.key"
    assert "chmod 600" in keys("show", "keys/ca.key").output


def test_a_foreign_key_is_noticed(folder: Path) -> None:
    keys("ca")
    keys("ca", "--into", "other")
    (folder / "ca.key").write_bytes(Path("other/ca.key").read_bytes())
    assert "is not the key of" in told(keys("server", "example.org")).problem


@pytest.mark.usefixtures("folder")
def test_a_certificate_does_not_outlive_its_authority() -> None:
    keys("ca", "--days", "10")
    keys("server", "example.org", "--days", "800")
    ends = [
        json.loads(keys("show", "--json", f"keys/{name}.pem").output)["valid_until"]
        for name in ("ca", "example.org")
    ]
    assert ends[0] == ends[1]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "domain", ["", "two words", "a-.org", "a..b", "*.example.org", "sip:example.org", "x" * 300]
)
def test_what_is_no_domain_is_refused(domain: str) -> None:
    keys("ca")
    assert "is no domain" in told(keys("server", domain)).problem


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("uri", ["sip:example.org", "mailto:a@b", "alice@", "sip:a@b@c", "sip:", ""])
def test_what_is_no_user_is_refused(uri: str) -> None:
    keys("ca")
    assert told(keys("client", uri)).remedy.startswith("give one like sip:alice@example.org")


def test_show_tells_a_certificate_but_no_secret(folder: Path) -> None:
    keys("ca", "--name", "Küche", "--days", "30")
    output = keys("show", "keys/ca.pem").output
    assert "authority" in output and "Küche" in output and "29 days left" in output
    shown = keys("show", "keys/ca.key").output
    secret = "".join((folder / "ca.key").read_text().splitlines()[1:-1])
    assert "private key" in shown and secret[:16] not in shown
    Path("noise").write_bytes(b"\0\xff" * 99)
    assert "holds no certificate" in told(keys("show", "noise")).problem
    assert "cannot read" in told(keys("show", "nowhere.pem")).problem
