"""Certificate authorities and certificates for tests and the lab: made in milliseconds, P-256, files of mode 600."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """`file` is what `--ca-file` wants."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    folder: Path
    file: str


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, as files in PEM and as DER octets."""

    certificate_file: str
    key_file: str
    der: bytes


def make_ca(folder: Path, name: str = "Test CA") -> Authority:
    """A self-signed authority; its files, and those of its certificates, go to `folder`, which must exist."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        _builder(subject, subject, key, *_validity(expired=False))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{_plain(name)}.pem"
    _write(file, certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(certificate, key, folder, str(file))


def make_certificate(
    ca: Authority,
    *,
    uris: Iterable[str] = (),
    names: Iterable[str] = (),
    common_name: str = "",
    expired: bool = False,
    file: str = "",
) -> Certificate:
    """Signed by `ca`. `uris` (`sip:example.com`) and `names` (DNS) go into subjectAltName, which is left out when
    there are none; `common_name` is the subject, and by default the first of them. Good for both ends of TLS."""
    alternatives: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
    alternatives += [x509.DNSName(name) for name in names]
    subject = common_name or (str(alternatives[0].value) if alternatives else "nameless")
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]),
        ca.certificate.subject,
        key,
        *_validity(expired),
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(usages, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key()), critical=False
        )
        .sign(ca.key, hashes.SHA256())
    )
    stem = file or f"{_plain(subject)}-{certificate.serial_number:x}"[:80]
    certificate_file, key_file = ca.folder / f"{stem}.pem", ca.folder / f"{stem}.key"
    _write(certificate_file, certificate.public_bytes(serialization.Encoding.PEM))
    _write(
        key_file,
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
    return Certificate(
        str(certificate_file), str(key_file), certificate.public_bytes(serialization.Encoding.DER)
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    begin: datetime.datetime,
    end: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )


def _validity(expired: bool) -> tuple[datetime.datetime, datetime.datetime]:
    now = datetime.datetime.now(datetime.UTC)
    return (now - 30 * _DAY, now - _DAY) if expired else (now - _DAY, now + 365 * _DAY)


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


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in ".-" else "-" for letter in name)


def _write(file: Path, octets: bytes) -> None:
    """Never readable by others, not even for a moment."""
    file.unlink(missing_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as opened:
        opened.write(octets)
