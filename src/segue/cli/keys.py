"""`segue keys`: a certificate authority for a small office, and certificates for its server and its users."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from segue.base.errors import LocalError

if TYPE_CHECKING:
    from cryptography import x509

_INTO = click.option(
    "--into",
    default="keys",
    show_default=True,
    metavar="DIR",
    help="Where the files go, and the authority is.",
)
_FORCE = click.option("--force", is_flag=True, help="Replace files that exist.")
_LONGEST = 36500
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the files' names as JSON, for programs.")
Command = TypeVar("Command", bound=Callable[..., Any])


def _days(default: int) -> Callable[[Command], Command]:
    return click.option(
        "--days",
        type=click.IntRange(1, _LONGEST),
        default=default,
        show_default=True,
        help="How long it is good.",
    )


@click.group()
def command() -> None:
    """A certificate authority and certificates for a small office.

    \b
    segue keys ca                              once; keep keys/ca.key to yourself
    segue keys server example.org              then: segue server --cert … --key …
    segue keys client sip:alice@example.org    for servers that ask phones for a certificate
    segue keys show keys/example.org.pem
    """


@command.command("ca")
@click.option("--name", default="Segue office CA", show_default=True, help="What it is called.")
@_days(3650)
@_INTO
@_FORCE
@_JSON
def authority(name: str, days: int, into: str, force: bool, as_json: bool) -> None:
    """Make an authority: DIR/ca.pem, which every phone gets, and DIR/ca.key, which nobody gets.

    \b
    segue keys ca
    segue keys ca --name "Example authority" --into office
    """
    from segue.net.certificate_authority import new_authority, validity, write_pair

    if not name.strip() or len(name) > 64:
        raise LocalError("the name of an authority has 1 to 64 characters", "give another --name")
    folder = _folder(into)
    certificate_file, key_file = folder / "ca.pem", folder / "ca.key"
    write_pair(new_authority(name, validity(days)), certificate_file, key_file, replace=force)
    if as_json:
        _tell_files(certificate_file, key_file)
        return
    click.echo(f"{certificate_file}  give it to every phone: --ca {certificate_file}")
    click.echo(
        f"{key_file}  whoever has it can pass for anybody: keep it off the server, with a copy elsewhere"
    )


@command.command("server")
@click.argument("domain")
@click.option(
    "--name", "names", multiple=True, metavar="HOST", help="A host name of the server too; repeatable."
)
@_days(825)
@_INTO
@_FORCE
@_JSON
def server(domain: str, names: tuple[str, ...], days: int, into: str, force: bool, as_json: bool) -> None:
    """Make a certificate for the server of DOMAIN, signed by the authority in DIR.

    \b
    segue keys server example.org
    segue keys server example.org --name sip.example.org --days 365
    """
    from segue.net.certificate_authority import sign_for_domain, validity, write_pair

    hosts = [_host(name) for name in (domain, *names)]
    folder = Path(into)
    signed = sign_for_domain(_authority(folder), hosts[0], validity(days), hosts[1:])
    certificate_file, key_file = _files(folder, hosts[0])
    write_pair(signed, certificate_file, key_file, replace=force)
    if as_json:
        _tell_files(certificate_file, key_file)
        return
    name = f" --name {hosts[1]}" if len(hosts) > 1 else ""
    click.echo(f"{certificate_file}\n{key_file}")
    click.echo(f"segue server --domain {hosts[0]}{name} --cert {certificate_file} --key {key_file}")


@command.command("client")
@click.argument("uri", metavar="SIP-URI")
@_days(825)
@_INTO
@_FORCE
@_JSON
def client(uri: str, days: int, into: str, force: bool, as_json: bool) -> None:
    """Make a certificate for the user of SIP-URI, signed by the authority in DIR.

    \b
    segue keys client sip:alice@example.org
    """
    from segue.net.certificate_authority import sign_for_user, validity, write_pair

    name = _user(uri)
    folder = Path(into)
    signed = sign_for_user(_authority(folder), name, validity(days))
    certificate_file, key_file = _files(folder, name.partition(":")[2])
    write_pair(signed, certificate_file, key_file, replace=force)
    if as_json:
        _tell_files(certificate_file, key_file)
    else:
        click.echo(f"{certificate_file}\n{key_file}")


def _tell_files(certificate: Path, key: Path) -> None:
    click.echo(json.dumps({"certificate": str(certificate), "key": str(key)}, indent=1))


@command.command("show")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show(file: Path, as_json: bool) -> None:
    """Say what is in FILE: a certificate, or a key (of which nothing secret is shown).

    \b
    segue keys show keys/example.org.pem
    """
    facts = _facts(file)
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        click.echo(f"{name.replace('_', ' '):{width}}  {shown if shown != '' else '–'}")


def _folder(into: str) -> Path:
    folder = Path(into)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LocalError(f"cannot make {folder}: {error.strerror}", "choose another --into") from None
    return folder


def _authority(folder: Path) -> Any:
    from segue.net.certificate_authority import load_authority

    return load_authority(folder / "ca.pem", folder / "ca.key")


def _files(folder: Path, name: str) -> tuple[Path, Path]:
    from segue.net.certificate_authority import plain_name

    stem = plain_name(name)
    if stem == "ca":  # a domain of that name would take the authority's place
        stem = "ca-server"
    return folder / f"{stem}.pem", folder / f"{stem}.key"


def _host(name: str) -> str:
    """A domain, host name or address in the form that goes into a certificate. Raises LocalError."""
    import ipaddress
    import re

    try:
        return str(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        pass
    try:
        plain = name.rstrip(".").lower().encode("idna").decode()
    except UnicodeError:
        plain = ""
    labels = plain.split(".")
    if len(plain) > 253 or not all(re.fullmatch(r"(?!-)[a-z0-9-]{1,63}(?<!-)", label) for label in labels):
        raise LocalError(f"{name!r} is no domain", "give one like example.org, or an address")
    return plain


def _user(uri: str) -> str:
    """`sip:USER@DOMAIN`, without parameters and port. Raises LocalError."""
    from segue.base.errors import RemoteError
    from segue.protocols.sip.uri import SipUri

    try:
        parsed = SipUri.parse(uri if uri.partition(":")[0].lower() in ("sip", "sips") else f"sip:{uri}")
    except RemoteError:
        raise LocalError(f"{uri!r} is no SIP URI", "give one like sip:alice@example.org") from None
    if not parsed.user or parsed.password is not None:
        raise LocalError(
            f"{uri!r} names no user", "give one like sip:alice@example.org, or use segue keys server"
        )
    host = _host(parsed.host)
    return f"sip:{parsed.user}@{f'[{host}]' if ':' in host else host}"


def _facts(file: Path) -> dict[str, Any]:
    from segue.net.certificate_authority import load_certificate, load_key, readable_by_others

    try:
        text = file.read_bytes()
    except OSError as error:
        raise LocalError(f"cannot read {file}: {error.strerror}", "give a PEM file") from None
    if b"PRIVATE KEY-----" in text:
        key = load_key(file)
        mode = "others can read it: chmod 600" if readable_by_others(file) else "its owner only"
        return {"kind": "private key", "type": f"elliptic curve, {key.curve.name}", "readable_by": mode}
    return _certificate_facts(load_certificate(file))


def _certificate_facts(certificate: x509.Certificate) -> dict[str, Any]:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    from segue.net.certificate_authority import is_authority

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        shown = [str(name.value) for name in names]
    except (x509.ExtensionNotFound, ValueError):
        shown = []
    now = datetime.datetime.now(datetime.UTC)
    left = (certificate.not_valid_after_utc - now).days
    state = f"{left} days left" if certificate.not_valid_after_utc > now else "EXPIRED"
    if certificate.not_valid_before_utc > now:
        state = "NOT VALID YET"
    key = certificate.public_key()
    kind = (
        f"elliptic curve, {key.curve.name}"
        if isinstance(key, ec.EllipticCurvePublicKey)
        else type(key).__name__
    )
    return {
        "kind": "authority" if is_authority(certificate) else "certificate",
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "names": shown,
        "valid_from": f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
        "valid_until": f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
        "state": state,
        "key": kind,
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(":"),
    }
