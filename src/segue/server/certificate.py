"""The server's certificate and key, and what may be wrong with them (shell side: it reads files)."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from segue.base.errors import LocalError
from segue.server.config import ServerConfig


def tls_context(config: ServerConfig) -> ssl.SSLContext:
    """TLS 1.2 and later (RFC 9325). Raises LocalError for a missing or unusable certificate, a key that others can
    read, and a certificate that phones of our domain would refuse (RFC 5922 section 7.1)."""
    certificate = _read(config.certificate, "certificate", "--cert")
    _read(config.key, "key", "--key")
    if stat.S_IMODE(Path(config.key).stat().st_mode) & 0o077:
        raise LocalError(f"the key {config.key} can be read by others", f"chmod 600 {config.key}")
    _check_names(certificate, config)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.certificate, config.key)
    except ssl.SSLError as error:
        raise LocalError(
            f"certificate {config.certificate} and key {config.key} do not work ({error.reason})",
            "do they belong together, and is the key without password?",
        ) from None
    return context


def _read(path: str, what: str, option: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise LocalError(f"cannot read the {what} {path} ({error.strerror})", f"give {option} FILE") from None


def _check_names(octets: bytes, config: ServerConfig) -> None:
    try:
        certificate = x509.load_pem_x509_certificate(octets)
    except ValueError:
        raise LocalError(f"{config.certificate} is no PEM certificate", "give --cert FILE") from None
    if certificate.not_valid_after_utc < datetime.now(UTC):
        raise LocalError(f"the certificate {config.certificate} has expired", "have it renewed")
    names = _names(certificate)
    for wanted in {config.domain.lower(), config.host}:
        if not any(_covers(name, wanted) for name in names):
            raise LocalError(
                f"the certificate {config.certificate} is not for {wanted}, but for {', '.join(names) or 'no name'}",
                "have one made with the domain in subjectAltName",
            )


def _names(certificate: x509.Certificate) -> list[str]:
    """DNS names, and hosts of sip: URIs (RFC 5922 section 7.1)."""
    try:
        extension = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    except x509.ExtensionNotFound:
        return []
    value = extension.value
    assert isinstance(value, x509.SubjectAlternativeName)
    uris = [uri[4:] for uri in value.get_values_for_type(x509.UniformResourceIdentifier) if uri[:4] == "sip:"]
    addresses = [str(address) for address in value.get_values_for_type(x509.IPAddress)]
    return [name.lower() for name in [*value.get_values_for_type(x509.DNSName), *uris, *addresses]]


def _covers(name: str, wanted: str) -> bool:
    """RFC 5922 section 7.2 forbids wildcards for SIP domains; phones that follow it would refuse them."""
    return name == wanted
