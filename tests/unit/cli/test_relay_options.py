"""STUN and TURN servers among the options of a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segue.base.errors import LocalError
from segue.base.secret import Secret
from segue.call.relays import RelayServer
from segue.cli.phone_options import read_config
from segue.phone.config import PhoneConfig
from segue.phone.wire import plain, revive


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text("sesame\n")
    return {
        "aor": "sip:alice@example.org",
        "state_dir": str(tmp_path),
        "stun": ("stun:example.org",),
        "turn": ("turn:example.org?transport=tcp", "turns:relay.example.org"),
        "turn_password_file": str(password),
    }


def test_servers_as_they_were_given(given: dict[str, Any]) -> None:
    networks = read_config(given).networks
    assert networks.stun == ("stun:example.org",)
    assert networks.relays == (
        RelayServer("turn:example.org?transport=tcp", "alice", Secret("sesame")),
        RelayServer("turns:relay.example.org", "alice", Secret("sesame")),
    )
    given["turn_user"] = "bob"
    assert [server.username for server in read_config(given).networks.relays] == ["bob", "bob"]


def test_the_password_is_not_printed_and_gets_to_the_voice_process(given: dict[str, Any]) -> None:
    config = read_config(given)
    assert "sesame" not in repr(config)
    assert revive(PhoneConfig, plain(config)) == config


@pytest.mark.parametrize(
    "wrong",
    [
        {"turn": ("example.org",)},
        {"turn": ("stun:example.org",)},
        {"turn": ("turns:192.0.2.1",)},
        {"stun": ("turn:example.org",)},
        {"stun": ("http://example.org",)},
        {"turn": ()},
        {"turn_password_file": None},
        {"turn_password_file": "/nonexistent"},
    ],
)
def test_what_cannot_be_is_said_with_the_remedy(given: dict[str, Any], wrong: dict[str, Any]) -> None:
    with pytest.raises(LocalError) as error:
        read_config({**given, **wrong})
    assert error.value.remedy


def test_a_password_that_others_can_read_is_refused(given: dict[str, Any]) -> None:
    Path(given["turn_password_file"]).chmod(0o644)
    with pytest.raises(LocalError, match="others can read"):
        read_config(given)
