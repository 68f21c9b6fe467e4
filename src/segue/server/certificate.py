"""The server's certificate and key, and what may be wrong with them (shell side: it reads files)."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

from segue.base.errors import LocalError
from segue.net.certificate_names import certificate_names, is_current, matches
from segue.server.config import ServerConfig


def check_certificate(config: ServerConfig, wall: float) -> None:
    """Raises LocalError for a certificate or key that cannot be read, a key that others can read, and a certificate
    that phones of our domain would refuse (RFC 5922 section 7)."""
    text = _read(config.certificate, "certificate", "--cert")
    _read(config.key, "key", "--key")
    if stat.S_IMODE(Path(config.key).stat().st_mode) & 0o077:
        raise LocalError(f"the key {config.key} can be read by others", f"chmod 600 {config.key}")
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    if begin not in text or end not in text:
        raise LocalError(f"{config.certificate} holds no certificate in PEM", "give --cert FILE")
    first = begin + text.partition(begin)[2].partition(end)[0] + end
    try:
        der = ssl.PEM_cert_to_DER_cert(first)
    except ValueError:
        raise LocalError(f"{config.certificate} holds no certificate in PEM", "give --cert FILE") from None
    names = certificate_names(der)
    for wanted in dict.fromkeys((config.domain.lower(), config.host)):
        if not matches(names, wanted):
            raise LocalError(
                f"the certificate {config.certificate} is not for {wanted}, but for {', '.join(names) or 'nobody'}",
                f"have one made with {wanted} in subjectAltName",
            )
    if not is_current(der, wall):
        raise LocalError(
            f"the certificate {config.certificate} is not valid now", "renew it, or set the clock"
        )


def _read(path: str, what: str, option: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError as error:
        raise LocalError(f"cannot read the {what} {path} ({error.strerror})", f"give {option} FILE") from None
