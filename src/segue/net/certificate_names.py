"""Who a certificate speaks for (RFC 5922 section 7)."""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

# What `cryptography` raises for octets that are no certificate, or have extensions it cannot read.
UNREADABLE = (ValueError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)


def certificate_names(der: bytes) -> list[str]:
    """The SIP domain identities of a certificate (section 7.1), lower case. `sip:` URIs without a user part; when
    there is none, DNS names; the common name only when there is no subjectAltName at all. Empty when there is none
    or the certificate cannot be read."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        try:
            alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            attributes = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            return [_normal(str(attribute.value)) for attribute in attributes]
        uris = alternatives.get_values_for_type(x509.UniformResourceIdentifier)
        hosts = [host for uri in uris if (host := _sip_host(uri))]
        return hosts or [_normal(name) for name in alternatives.get_values_for_type(x509.DNSName)]
    except UNREADABLE:
        return []


def matches(names: list[str], domain: str) -> bool:
    """Whether one of `names` is `domain`, whole, whatever the case (section 7.2). There are no wildcards: `*` is a
    letter here. An internationalised domain is compared in its ASCII form (RFC 5280 section 7.2)."""
    wanted = _normal(domain)
    return bool(wanted) and wanted in names


def is_current(der: bytes, wall: float) -> bool:
    """Whether `wall` (Unix time) is within the certificate's validity: a resumed session does not look again."""
    try:
        certificate = x509.load_der_x509_certificate(der)
    except UNREADABLE:
        return False
    now = datetime.datetime.fromtimestamp(wall, datetime.UTC)
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _sip_host(uri: str) -> str:
    """The host of a `sip:` URI without user part, else nothing."""
    scheme, _, rest = uri.partition(":")
    rest = rest.partition("?")[0].partition(";")[0]
    if scheme.lower() != "sip" or "@" in uri:
        return ""
    if rest.startswith("["):
        return _normal(rest[1:].partition("]")[0])
    return _normal(rest.partition(":")[0])


def _normal(name: str) -> str:
    name = name.rstrip(".").lower()
    if not name.isascii():
        try:
            return name.encode("idna").decode()
        except UnicodeError:
            return ""
    return name
