"""The options that `segue call` and `segue answer` share, from flags or a TOML file, as one configuration."""

from __future__ import annotations

import functools
import os
import stat
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segue.base.errors import LocalError
from segue.cli.option_file import config_option

if TYPE_CHECKING:
    from segue.base.keying import Suite
    from segue.call.relays import RelayServer
    from segue.mobility.budget import DuplicationLimits
    from segue.phone.config import PhoneConfig

Options = list[tuple[str, dict[str, Any]]]
_FILE = {"metavar": "FILE", "type": click.Path()}
_FOLDER = {"metavar": "DIR", "type": click.Path()}
_TIME = {"metavar": "S", "type": click.FloatRange(min=0)}

_PHONE: Options = [
    ("--aor", {"metavar": "URI", "help": "Your address, sip:you@your.domain."}),
    ("--registrar", {"metavar": "HOST|URI", "help": "Your server. [that of your domain]"}),
    ("--user", {"metavar": "NAME", "help": "User name for the password, when not that of the address."}),
    ("--password-file", _FILE | {"help": "File (mode 600) with the password."}),
    ("--transport", {"type": click.Choice(["tls", "tcp", "udp"]), "help": "Signalling. [tls]"}),
    ("--family", {"type": click.Choice(["4", "6"]), "help": "Only IPv4 or only IPv6. [both]"}),
    ("--ca", _FILE | {"help": "Certificates to trust. [the system's]"}),
    ("--cert", _FILE | {"help": "Your certificate, for servers that ask for one."}),
    ("--key", _FILE | {"help": "Its key."}),
    ("--keying", {"metavar": "NAME", "help": "Key agreement: sdes, or none for calls in the clear. [sdes]"}),
    (
        "--suite",
        {
            "multiple": True,
            "metavar": "NAME",
            "help": "SRTP suite, most wanted first; repeatable. AEAD_AES_256_GCM, AEAD_AES_128_GCM, "
            "AES_256_CM_HMAC_SHA1_80, AES_CM_128_HMAC_SHA1_80, or either _32. [all]",
        },
    ),
    ("--codec", {"multiple": True, "metavar": "NAME", "help": "opus, G722, PCMA, PCMU; repeatable. [all]"}),
    (
        "--audio-in",
        {
            "metavar": "FILE|speech|tone|silence|device",
            "type": click.Path(),
            "help": "What the other hears. [device]",
        },
    ),
    (
        "--audio-out",
        {
            "metavar": "FILE|null|device",
            "type": click.Path(),
            "help": "Where the other is heard. [device]",
        },
    ),
    ("--move-tone", {"is_flag": True, "help": "A short tone in your ear when a move begins and ends."}),
    ("--local-port", {"type": click.IntRange(0, 65535), "help": "First local port for media. [any]"}),
    (
        "--mode",
        {
            "type": click.Choice(["soft", "reinvite"]),
            "help": "soft: to a better network before the old one is lost, where two are up; reinvite: only when "
            "it is lost. [soft]",
        },
    ),
    (
        "--speech",
        {
            "type": click.Choice(["continuous", "complete"]),
            "help": "complete: every word of the other end is heard, if need be late; continuous: what is late is "
            "dropped. [complete]",
        },
    ),
    (
        "--speech-limit",
        {
            "metavar": "S",
            "type": click.FloatRange(min=0, max=10, min_open=True),
            "help": "With complete: seconds that a word may be late by. [3]",
        },
    ),
    (
        "--ice/--no-ice",
        {
            "default": None,
            "help": "Check paths, and move without waiting for signalling where the other end can. [on]",
        },
    ),
    (
        "--duplicate/--no-duplicate",
        {"default": None, "help": "Send on both networks while a soft handover lasts. [on]"},
    ),
    ("--interface", {"multiple": True, "metavar": "NAME", "help": "Use only these networks; repeatable."}),
    (
        "--stun",
        {
            "multiple": True,
            "metavar": "URI",
            "help": "Server that tells where you seem to be: stun:HOST[:PORT]; repeatable.",
        },
    ),
    (
        "--turn",
        {
            "multiple": True,
            "metavar": "URI",
            "help": "Relay: turn:HOST[:PORT][?transport=tcp], or turns:HOST for TLS; repeatable.",
        },
    ),
    ("--turn-user", {"metavar": "NAME", "help": "User name for the relays. [that of your address]"}),
    ("--turn-password-file", _FILE | {"help": "File (mode 600) with the password for the relays."}),
    (
        "--metered",
        {"multiple": True, "metavar": "NAME", "help": "An interface that costs by the octet; repeatable."},
    ),
    (
        "--duplicates-per-hour",
        {
            "type": click.IntRange(0),
            "metavar": "KB",
            "help": "Duplicates on metered networks in an hour, in kilobytes; a call gets 2/5 of it. [5000]",
        },
    ),
    (
        "--resolver-dir",
        {
            "metavar": "DIR",
            "type": click.Path(exists=True, file_okay=False),
            "help": "Folder with one INTERFACE.conf per network.",
        },
    ),
    (
        "--radio",
        {
            "metavar": "SOCKET",
            "type": click.Path(),
            "help": "Where the radio's signal is reported. [nowhere]",
        },
    ),
    (
        "--state-dir",
        _FOLDER | {"help": "Where the device's identity is kept. [~/.local/state/segue]"},
    ),
    (
        "--initial-sequence",
        {"type": click.IntRange(0, 65535), "help": "First RTP sequence number (lab only)."},
    ),
    ("--srtp-keys-to", _FILE | {"help": "Write the call's SRTP keys (lab only)."}),
]
_ANSWERING: Options = [
    ("--answer-after", _TIME | {"default": 0.5, "show_default": True, "help": "Seconds that it rings."}),
    ("--once", {"is_flag": True, "help": "Stop after the first call."}),
]
_SCRIPT: Options = [
    ("--duration", _TIME | {"help": "Hang up after so many seconds."}),
    ("--hold-at", _TIME | {"help": "Hold the other end then, for --hold-for seconds."}),
    ("--hold-for", _TIME | {"default": 2.0, "show_default": True, "help": "Length of the hold."}),
    ("--events", {"is_flag": True, "help": "Print all that happens as JSON lines, with times."}),
]


def phone_options(*, answering: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds the options; the command receives a `PhoneConfig` as `config`, and those of its script by name. One
    file serves both commands: each passes over what only the other knows."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def read_options(**given: Any) -> Any:
            phone = {name: given.pop(name) for name in map(_name, _PHONE)}
            return command(config=read_config(phone), **given)

        wrapped: Callable[..., Any] = read_options
        for flag, settings in reversed(_PHONE + (_ANSWERING if answering else []) + _SCRIPT):
            wrapped = click.option(flag, **settings)(wrapped)
        others = {} if answering else {"answer_after": float, "once": bool}
        return config_option(others=others, remedy="the names are those of segue answer --help")(wrapped)

    return decorate


def _name(option: tuple[str, dict[str, Any]]) -> str:
    return option[0].partition("/")[0].lstrip("-").replace("-", "_")


def read_config(given: dict[str, Any]) -> PhoneConfig:
    """What was given, over defaults. Raises LocalError for what cannot be."""
    from segue.base.secret import Secret
    from segue.call.config import MediaConfig
    from segue.mobility.policy import Preferences
    from segue.phone.config import Account, LabOptions, Networks, PhoneConfig, Sound

    options = {name: value for name, value in given.items() if value not in (None, ())}
    _refuse_outside_lab(options)
    if "aor" not in options:
        raise LocalError("who are you?", "give --aor sip:you@your.domain, or a --config file")
    account = Account(
        aor=options["aor"],
        registrar=options.get("registrar", ""),
        transport=options.get("transport", "tls"),
        user=options.get("user", ""),
        password=Secret(_read_secret(options["password_file"]) if "password_file" in options else ""),
        instance=_instance(options.get("state_dir", ""), options["aor"]),
        ca=options.get("ca", ""),
        certificate=options.get("cert", ""),
        key=options.get("key", ""),
    )
    media: dict[str, Any] = {"keying": options.get("keying", "sdes")}
    own = ("ice", "duplicate", "speech", "speech_limit")
    media |= {name: options[name] for name in own if name in options}
    if "codec" in options:
        media["codecs"] = tuple(options["codec"])
    if "suite" in options:
        media["suites"] = tuple(map(suite_of, options["suite"]))
    return PhoneConfig(
        account=account,
        media=MediaConfig(**media),
        sound=Sound(
            options.get("audio_in", "device"),
            options.get("audio_out", "device"),
            move_tone=bool(options.get("move_tone")),
        ),
        networks=Networks(
            interfaces=tuple(options.get("interface", ())),
            family=int(options["family"]) if "family" in options else None,
            resolver_dir=options.get("resolver_dir", ""),
            radio=options.get("radio", ""),
            metered=tuple(options.get("metered", ())),
            duplicates=_duplicates(options.get("duplicates_per_hour")),
            stun=tuple(options.get("stun", ())),
            relays=_relays(options, account.username),
            preferences=Preferences(soft=options.get("mode", "soft") == "soft"),
        ),
        local_port=options.get("local_port", 0),
        lab=LabOptions(options.get("initial_sequence"), options.get("srtp_keys_to", "")),
    )


def _relays(options: dict[str, Any], username: str) -> tuple[RelayServer, ...]:
    """Every relay with the one name and password that there is for them."""
    from segue.base.secret import Secret
    from segue.call.relays import RelayServer

    path, uris = options.get("turn_password_file", ""), options.get("turn", ())
    if (path or "turn_user" in options) and not uris:
        raise LocalError("a name or password for relays, and no relay", "give --turn")
    if uris and not path:
        raise LocalError("a relay wants a password", "give --turn-password-file")
    password = Secret(_read_secret(path) if path else "")
    return tuple(RelayServer(uri, options.get("turn_user", username), password) for uri in uris)


def _duplicates(kilobytes: int | None) -> DuplicationLimits:
    from segue.mobility.budget import DuplicationLimits

    if kilobytes is None:
        return DuplicationLimits()
    return DuplicationLimits(per_call=400 * kilobytes, per_hour=1000 * kilobytes)


def suite_of(name: str) -> Suite:
    """Raises LocalError for a name that none has."""
    from segue.base.keying import Suite

    try:
        return Suite[name]
    except KeyError:
        names = ", ".join(suite.value for suite in Suite)
        raise LocalError(f"no suite {name!r}", f"choose among {names}") from None


def _read_secret(path: str) -> str:
    """A password from a file that nobody else can read."""
    try:
        mode = os.stat(path).st_mode
        text = Path(path).read_text().strip("\r\n")
    except OSError as error:
        raise LocalError(
            f"cannot read {path}: {error.strerror}", "write the password there, mode 600"
        ) from None
    except UnicodeDecodeError:
        raise LocalError(f"{path} is no text in UTF-8", "write the password there anew") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise LocalError(f"others can read {path}", f"chmod 600 {path}")
    return text


def _instance(state_dir: str, aor: str) -> str:
    """This device's URN (RFC 5626 section 4.1): made once, kept in the state folder."""
    folder = Path(state_dir or os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "segue"
    path = folder / f"instance-{aor.partition(':')[2].replace('/', '_')}"
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.write_text(uuid.uuid4().urn + "\n")
        return path.read_text().strip()
    except OSError as error:
        raise LocalError(
            f"cannot keep this device's identity in {folder}: {error.strerror}", "give --state-dir"
        ) from None
    except UnicodeDecodeError:
        raise LocalError(f"{path} holds no identity", "remove it") from None


def _refuse_outside_lab(options: dict[str, Any]) -> None:
    if "initial_sequence" in options or "srtp_keys_to" in options:
        from segue.lab.networks.namespaces import inside_lab

        if not inside_lab():
            raise LocalError(
                "--initial-sequence and --srtp-keys-to exist only inside the lab", "see segue lab run"
            )
