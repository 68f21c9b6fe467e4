"""The `segue server` command: one plain line for each thing a user can put right, and user accounts."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from segue.base.errors import LocalError
from segue.cli.server import command
from segue.server.config import ServerConfig
from segue.server.store import Store
from segue.testing.certificates import make_ca, make_certificate

DOMAIN = "example.org"


def run(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(command, arguments, input=text)


def problem(*arguments: str) -> str:
    """What the user is told."""
    result = run(*arguments)
    assert isinstance(result.exception, LocalError), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)


@pytest.fixture
def database(tmp_path: Path) -> str:
    return str(tmp_path / "server.db")


def test_heavy_parts_are_imported_only_when_used():
    import subprocess

    check = (
        "import sys, segue.cli.server; print(any(m in sys.modules for m in ('asyncio', 'sqlite3', 'ssl')))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_users_are_added_listed_and_removed(database, tmp_path):
    place = ("--domain", DOMAIN, "--db", database)
    assert run("user", "add", "alice", *place, text="secret\nsecret\n").exit_code == 0
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text("secret\n")
    assert run(*place, "user", "add", "bob", "--password-file", str(password)).exit_code == 0
    assert run("user", "list", *place).output.split() == ["alice", "bob"]
    store = Store(database)
    users = store.users(DOMAIN)
    store.close()
    assert set(users["alice"]) == {"MD5", "SHA-256", "SHA-512-256"}
    assert users["alice"] != users["bob"]
    assert run("user", "remove", "alice", *place).exit_code == 0
    assert run("user", "list", *place).output.split() == ["bob"]
    assert "no user" in problem("user", "remove", "alice", *place)


def test_a_password_file_that_others_read_is_refused(database, tmp_path):
    password = tmp_path / "password"
    password.write_text("secret")
    password.chmod(0o644)
    told = problem(
        "user", "add", "bob", "--domain", DOMAIN, "--db", database, "--password-file", str(password)
    )
    assert "chmod 600" in told


def test_what_is_missing_is_said(database, tmp_path):
    assert "--domain" in problem("--db", database)
    assert "--cert" in problem("--domain", DOMAIN, "--db", database)
    told = problem(
        "--domain", DOMAIN, "--db", database, "--cert", str(tmp_path / "no.pem"), "--key", "no.key"
    )
    assert "cannot read the certificate" in told
    assert "no IP address" in problem("--domain", DOMAIN, "--db", database, "--listen", "udp:nowhere:5060")
    assert "transport" in problem("--domain", DOMAIN, "--db", database, "--listen", "sctp:127.0.0.1:5060")


def test_a_port_in_use_is_said(database):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        place = f"udp:127.0.0.1:{taken.getsockname()[1]}"
        assert "in use" in problem("--domain", DOMAIN, "--db", database, "--listen", place)


def test_a_certificate_for_another_domain_and_a_key_that_others_read_are_refused(database, tmp_path):
    certificate = make_certificate(make_ca(tmp_path), names=["elsewhere.org"])
    place = ("--domain", DOMAIN, "--db", database, "--listen", "tls:127.0.0.1:0")
    files = ("--cert", certificate.certificate_file, "--key", certificate.key_file)
    told = problem(*place, *files)
    assert "not for example.org, but for elsewhere.org" in told
    Path(certificate.key_file).chmod(0o644)
    assert "chmod 600" in problem(*place, *files)


def test_an_expired_certificate_is_refused(database, tmp_path):
    certificate = make_certificate(make_ca(tmp_path), names=[DOMAIN], expired=True)
    files = ("--cert", certificate.certificate_file, "--key", certificate.key_file)
    told = problem("--domain", DOMAIN, "--db", database, "--listen", "tls:127.0.0.1:0", *files)
    assert "not valid now" in told


def served(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> ServerConfig:
    """What the server would run with."""
    seen: list[ServerConfig] = []

    async def run_server(config: ServerConfig, **_: object) -> None:
        seen.append(config)

    monkeypatch.setattr("segue.server.server.run_server", run_server)
    result = run(*arguments)
    assert result.exit_code == 0, result.exception
    return seen[0]


def test_flags_go_over_the_file(tmp_path, monkeypatch):
    file = tmp_path / "server.toml"
    lines = (
        'domain = "example.org"',
        'listen = ["udp:127.0.0.1:5060"]',
        f'db = "{tmp_path / "server.db"}"',
        "allow-strangers = true",
        "[policy]",
        "min_expires = 10",
    )
    file.write_text("\n".join(lines))
    config = served(monkeypatch, "--config", str(file), "--domain", "example.com")
    assert (config.domain, config.policy.strangers, config.policy.min_expires) == ("example.com", True, 10)
    assert [str(listen.address) for listen in config.listens] == ["127.0.0.1:5060"]
    assert not served(monkeypatch, "--config", str(file), "--no-strangers").policy.strangers
    assert run("--config", str(file), "user", "list", "--json").output.split() == [
        *("{", '"domain":', '"example.org",', '"users":', "[]", "}")
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("colour = 'red'", "unknown option 'colour'"),
        ("domain = ", "is no TOML"),
        ("domain = 'example org'", "is no domain"),
        ("listen = 5", "listen is not a list of texts"),
        ("listen = [['udp:127.0.0.1']]", "listen is not a list of texts"),
        ("listen = ['udp:127.0.0.1:99999']", "port"),
        ("listen = []\ncert = 'c'", "TLS needs a certificate"),
        ("allow-strangers = 'no'", "not true or false"),  # a word that is not empty is no yes
        ("db = true", "db is not text"),
        ("policy = 3", "policy is not a table"),
        ("[policy]\ncolour = 1", "policy has no 'colour'"),
        ("[policy]\nmin_expires = 'soon'", "min_expires"),
        ("[policy]\nmin_expires = 600\nmax_expires = 60", "max_expires"),
        ("[policy]\nmax_expires = true", "max_expires"),
        ("[policy]\nrequests_rate = -1", "requests_rate"),
        ("[policy]\nrequests_burst = 0", "requests_burst"),
        ("[policy]\nreunion = inf", "reunion"),
        ("[policy]\ntimer_c = nan", "timer_c"),
        ("[policy]\nstrangers = 1", "strangers"),
        ("[policy]\ndigest = ['MD4']", "digest"),
        ("[policy]\ndigest = [['MD5']]", "digest"),
        ("[policy]\nmax_breadth = 0", "max_breadth"),
    ],
)
def test_a_file_that_cannot_be_is_refused_in_one_line(database, tmp_path, monkeypatch, text, told):
    monkeypatch.setattr("segue.server.server.run_server", lambda *_, **__: pytest.fail("it ran"))
    file = tmp_path / "server.toml"
    given = ["--domain", DOMAIN] if "domain" not in text else []
    given += ["--listen", "udp:127.0.0.1:0"] if "listen" not in text else []
    given += ["--db", database] if "db" not in text else []
    file.write_text(text)
    assert told in problem("--config", str(file), *given)
    assert not Path(database).exists()


def test_no_file_and_one_that_is_no_text(tmp_path):
    assert "cannot read" in problem("--config", str(tmp_path / "none.toml"))
    file = tmp_path / "server.toml"
    file.write_bytes(b"\xff\xfe")
    assert "is no TOML" in problem("--config", str(file))


@pytest.mark.parametrize("listed", ["alice", "al ice:secret", "alice:", ":secret"])
def test_a_list_of_users_that_cannot_be_adds_nobody(database, tmp_path, listed):
    users = tmp_path / "users"
    users.touch(mode=0o600)
    users.write_text(f"bob:secret\n{listed}\n")
    told = problem("--domain", DOMAIN, "--db", database, "--listen", "udp:127.0.0.1:0", "--users", str(users))
    assert "secret" not in told
    assert run("user", "list", "--domain", DOMAIN, "--db", database).output == ""


def test_tls_is_the_default_and_nothing_else(database, monkeypatch):
    config = served(monkeypatch, "--domain", DOMAIN, "--cert", "c", "--key", "k", "--db", database)
    assert {listen.transport for listen in config.listens} == {"TLS"}
    assert not config.policy.strangers
    assert not config.policy.allow_clear_leg
