"""Certificate authorities and certificates for tests and the lab: made in milliseconds, P-256, files of mode 600."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from segue.net.certificate_authority import Signed, new_authority, plain_name, sign, validity, write_private

_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """`file` is what `--ca` wants."""

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
    made = new_authority(name, validity(365))
    file = folder / f"{plain_name(name)}.pem"
    _write(file, made.certificate_pem())
    return Authority(made.certificate, made.key, folder, str(file))


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
    uris, names = list(uris), list(names)
    subject = common_name or next(iter([*uris, *names]), "nameless")
    now = datetime.datetime.now(datetime.UTC)
    period = (now - 30 * _DAY, now - _DAY) if expired else validity(365)
    made = sign(Signed(ca.certificate, ca.key), subject, period, uris=uris, names=names)
    stem = file or f"{plain_name(subject)}-{made.certificate.serial_number:x}"[:80]
    certificate_file, key_file = ca.folder / f"{stem}.pem", ca.folder / f"{stem}.key"
    _write(certificate_file, made.certificate_pem())
    _write(key_file, made.key_pem())
    der = made.certificate.public_bytes(serialization.Encoding.DER)
    return Certificate(str(certificate_file), str(key_file), der)


def _write(file: Path, octets: bytes) -> None:
    """Never readable by others, not even for a moment; an older one goes."""
    file.unlink(missing_ok=True)
    write_private(file, octets)
