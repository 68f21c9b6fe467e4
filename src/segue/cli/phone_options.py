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
from segue.cli.option_file import read_option_file

if TYPE_CHECKING:
    from segue.phone.config import PhoneConfig

_OPTIONS: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    (
        ("--config", "config_file"),
        {"metavar": "FILE", "help": "TOML file with these options (names as here)."},
    ),
    (("--aor",), {"metavar": "URI", "help": "Your address, sip:you@your.domain."}),
    (("--registrar",), {"metavar": "HOST|URI", "help": "Your server; 'none' to call without one."}),
    (("--user",), {"metavar": "NAME", "help": "User name for the password, when not that of the address."}),
    (("--password-file",), {"metavar": "FILE", "help": "File (mode 600) with the password."}),
    (("--transport",), {"type": click.Choice(["tls", "tcp", "udp"]), "help": "Signalling. [tls]"}),
    (("--family",), {"type": click.Choice(["4", "6"]), "help": "Only IPv4 or only IPv6. [both]"}),
    (("--ca",), {"metavar": "FILE", "help": "Certificates to trust. [the system's]"}),
    (("--cert",), {"metavar": "FILE", "help": "Your certificate, for servers that ask for one."}),
    (("--key",), {"metavar": "FILE", "help": "Its key."}),
    (
        ("--keying",),
        {"metavar": "NAME", "help": "Key agreement: sdes, or none for calls in the clear. [sdes]"},
    ),
    (
        ("--suite",),
        {"multiple": True, "metavar": "NAME", "help": "SRTP suite, most wanted first; repeatable."},
    ),
    (("--codec",), {"multiple": True, "metavar": "NAME", "help": "opus, G722, PCMA, PCMU; repeatable."}),
    (
        ("--audio-in",),
        {"metavar": "FILE|speech|tone|silence|device", "help": "What the other hears. [device]"},
    ),
    (("--audio-out",), {"metavar": "FILE|null|device", "help": "Where the other is heard. [device]"}),
    (("--local-port",), {"type": click.IntRange(0, 65535), "help": "First local port. [any]"}),
    (("--interface",), {"multiple": True, "metavar": "NAME", "help": "Use only these networks; repeatable."}),
    (("--resolver-dir",), {"metavar": "DIR", "help": "Folder with one INTERFACE.conf per network."}),
    (("--radio",), {"metavar": "SOCKET", "help": "Where the radio's signal is reported. [nowhere]"}),
    (
        ("--state-dir",),
        {"metavar": "DIR", "help": "Where the device's identity is kept. [~/.local/state/segue]"},
    ),
    (
        ("--initial-sequence",),
        {"type": click.IntRange(0, 65535), "help": "First RTP sequence number (lab only)."},
    ),
    (("--srtp-keys-to",), {"metavar": "FILE", "help": "Write the call's SRTP keys (lab only)."}),
]
_NAMES = {flags[-1].lstrip("-").replace("-", "_"): settings for flags, settings in _OPTIONS}


def _kind(settings: dict[str, Any]) -> type:
    """What an option is in a file."""
    if settings.get("multiple"):
        return list
    return int if isinstance(settings.get("type"), click.IntRange) else str


_KINDS = {name: _kind(settings) for name, settings in _NAMES.items() if name != "config_file"}


def phone_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options; the command receives a `PhoneConfig` as `config`."""

    @functools.wraps(command)
    def read_options(**given: Any) -> Any:
        own = {name: given.pop(name) for name in list(given) if name in _NAMES}
        return command(config=read_config(own), **given)

    wrapped: Callable[..., Any] = read_options
    for flags, settings in reversed(_OPTIONS):
        wrapped = click.option(*flags, **settings)(wrapped)
    return wrapped


def read_config(given: dict[str, Any]) -> PhoneConfig:
    """Flags over file over defaults. Raises LocalError for what cannot be."""
    from segue.base.keying import Suite
    from segue.base.secret import Secret
    from segue.call.config import MediaConfig
    from segue.phone.config import Account, LabOptions, Networks, PhoneConfig, Sound

    path = given.pop("config_file", None)
    options = (read_option_file(path, _KINDS, "the names are those of segue call --help") if path else {}) | {
        k: v for k, v in given.items() if v not in (None, ())
    }
    _refuse_outside_lab(options)
    if "aor" not in options:
        raise LocalError("who are you?", "give --aor sip:you@your.domain, or a --config file")
    registrar = options.get("registrar", "")
    account = Account(
        aor=options["aor"],
        registrar="" if registrar == "none" else registrar,
        register=registrar != "none",
        transport=options.get("transport", "tls"),
        user=options.get("user", ""),
        password=Secret(_read_secret(options["password_file"]) if "password_file" in options else ""),
        instance=_instance(options.get("state_dir", ""), options["aor"]),
        ca=options.get("ca", ""),
        certificate=options.get("cert", ""),
        key=options.get("key", ""),
    )
    family = str(options.get("family", ""))
    if family not in ("", "4", "6"):
        raise LocalError(f"there is no family {family!r}", "choose 4 or 6")
    media: dict[str, Any] = {"keying": options.get("keying", "sdes")}
    if "codec" in options:
        media["codecs"] = tuple(options["codec"])
    if "suite" in options:
        media["suites"] = tuple(_suite(name, Suite) for name in options["suite"])
    return PhoneConfig(
        account=account,
        media=MediaConfig(**media),
        sound=Sound(options.get("audio_in", "device"), options.get("audio_out", "device")),
        networks=Networks(
            interfaces=tuple(options.get("interface", ())),
            family=int(family) if family else None,
            resolver_dir=options.get("resolver_dir", ""),
            radio=options.get("radio", ""),
        ),
        local_port=options.get("local_port", 0),
        lab=LabOptions(options.get("initial_sequence"), options.get("srtp_keys_to", "")),
    )


def _suite(name: str, suites: Any) -> Any:
    try:
        return suites[name]
    except KeyError:
        raise LocalError(f"no suite {name!r}", f"choose among {', '.join(s.value for s in suites)}") from None


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
        from segue.lab.namespaces import inside_lab

        if not inside_lab():
            raise LocalError(
                "--initial-sequence and --srtp-keys-to exist only inside the lab", "see segue lab run"
            )
