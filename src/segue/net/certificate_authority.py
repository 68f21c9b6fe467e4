"""A certificate authority for a small office: P-256 keys, certificates with the names of RFC 5922, PEM files.

A certificate of a SIP domain names it twice, as URI `sip:DOMAIN` and as DNS name (RFC 5922 section 7.1); one of a
user has their SIP URI. Keys are files that only their owner may read. Nothing is ever replaced unless asked.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from segue.base.errors import LocalError

_DAY = datetime.timedelta(days=1)
_BOTH_ENDS = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
Validity = tuple[datetime.datetime, datetime.datetime]


@dataclass(frozen=True)
class Signed:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self) -> bytes:
        """PKCS #8, not encrypted."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def validity(days: float, now: datetime.datetime | None = None) -> Validity:
    """From a day ago, since clocks differ, until `days` from `now`."""
    now = now or datetime.datetime.now(datetime.UTC)
    return now - _DAY, now + days * _DAY


def new_authority(name: str, period: Validity) -> Signed:
    """A self-signed authority, for end certificates only (path length 0)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(name)
    certificate = (
        _builder(subject, subject, key, period)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Signed(certificate, key)


def sign(
    authority: Signed,
    common_name: str,
    period: Validity,
    *,
    uris: Iterable[str] = (),
    names: Iterable[str] = (),
    usages: Iterable[x509.ObjectIdentifier] = _BOTH_ENDS,
) -> Signed:
    """A new key with a certificate. `uris` (`sip:example.com`) and `names` (DNS, or numeric addresses) go into
    subjectAltName, which is left out when there are none. It never outlives the authority."""
    alternatives: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
    alternatives += [_host(name) for name in names]
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate
    period = (period[0], min(period[1], issuer.not_valid_after_utc))
    builder = _builder(_subject(common_name), issuer.subject, key, period)
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(list(usages)), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
        )
        .sign(authority.key, hashes.SHA256())
    )
    return Signed(certificate, key)


def sign_for_domain(authority: Signed, domain: str, period: Validity, names: Iterable[str] = ()) -> Signed:
    """For the server of a SIP domain; `names` are further host names that phones reach it by, which count as SIP
    domains too: with one URI in a certificate, its DNS names are no longer looked at (RFC 5922 section 7.1)."""
    hosts = list(dict.fromkeys([domain, *names]))
    uris = [f"sip:[{host}]" if ":" in host else f"sip:{host}" for host in hosts]
    return sign(authority, domain, period, uris=uris, names=hosts)


def sign_for_user(authority: Signed, uri: str, period: Validity) -> Signed:
    """For a phone that shows who it is by TLS; `uri` is `sip:USER@DOMAIN`."""
    return sign(authority, uri, period, uris=[uri], usages=[ExtendedKeyUsageOID.CLIENT_AUTH])


def load_authority(certificate_file: Path, key_file: Path, now: datetime.datetime | None = None) -> Signed:
    """Raises LocalError for files that are not those of an authority, a key that others can read, and one whose
    time is over."""
    certificate = load_certificate(certificate_file)
    if readable_by_others(key_file):
        raise LocalError(f"others can read {key_file}", f"chmod 600 {key_file}")
    key = load_key(key_file)
    if certificate.public_key() != key.public_key():
        raise LocalError(
            f"{key_file} is not the key of {certificate_file}", "give the two that belong together"
        )
    if not is_authority(certificate):
        raise LocalError(f"{certificate_file} is not an authority's", "make one: segue keys ca")
    if certificate.not_valid_after_utc <= (now or datetime.datetime.now(datetime.UTC)):
        raise LocalError(f"the authority in {certificate_file} has expired", "make a new one: segue keys ca")
    return Signed(certificate, key)


def load_certificate(path: Path) -> x509.Certificate:
    """The first of a PEM file. Raises LocalError."""
    try:
        return x509.load_pem_x509_certificate(_read(path))
    except ValueError:
        raise LocalError(f"{path} holds no certificate", "give a PEM file") from None


def load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Raises LocalError."""
    try:
        key = serialization.load_pem_private_key(_read(path), None)
    except TypeError:
        raise LocalError(f"the key {path} is encrypted", "store it without a passphrase, mode 600") from None
    except (ValueError, UnsupportedAlgorithm):
        raise LocalError(f"{path} holds no private key", "give a PEM file") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise LocalError(f"{path} is not an elliptic curve key", "make a new authority: segue keys ca")
    return key


def is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def readable_by_others(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    except OSError:
        return False


def write_pair(signed: Signed, certificate_file: Path, key_file: Path, *, replace: bool = False) -> None:
    """Both files or none: the key with mode 600, the certificate with 644. Raises LocalError, when one of them
    exists and `replace` is not set too."""
    for path in (key_file, certificate_file):
        if path.exists() and not replace:
            raise LocalError(f"{path} exists already", "choose another --into, or replace it with --force")
    written: list[Path] = []
    try:
        for path, content, mode in (
            (key_file, signed.key_pem(), 0o600),
            (certificate_file, signed.certificate_pem(), 0o644),
        ):
            partial = path.with_name(f".{path.name}.{os.getpid()}")
            written.append(partial)
            write_private(partial, content, mode)
        for partial, path in zip(written, (key_file, certificate_file), strict=True):
            partial.replace(path)
    except OSError as error:
        for partial in written:
            with contextlib.suppress(OSError):
                partial.unlink()
        place = certificate_file.parent
        raise LocalError(f"cannot write into {place}: {error.strerror}", "choose another --into") from None


def write_private(path: Path, octets: bytes, mode: int = 0o600) -> None:
    """A new file that was never readable by more than `mode` says, not even for a moment. Raises OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as opened:
        opened.write(octets)


def plain_name(name: str) -> str:
    """For use in a file's name."""
    return "".join(letter if letter.isalnum() or letter in ".-_" else "-" for letter in name)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LocalError(
            f"cannot read {path}: {error.strerror}", "make an authority: segue keys ca"
        ) from None


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])  # ub-common-name of RFC 5280


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, period: Validity
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(period[0])
        .not_valid_after(period[1])
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
