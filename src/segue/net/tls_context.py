"""What a TLS end trusts, who it is, what it speaks; and why OpenSSL refused, in words a user can act on."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from segue.base.errors import LocalError, RemoteError, SegueError

# Of TLS 1.2: forward secret and authenticated (RFC 9325 section 4.2).
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


@dataclass(frozen=True)
class TlsOptions:
    """`ca_file`: authorities that are trusted (PEM); the system's when empty. `certificate_file` (with its chain)
    and `key_file`: who we are, needed by servers. `client_certificates`: whether a server asks for them: "none",
    "wanted" or "required"; those given must be signed by `ca_file`."""

    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    client_certificates: str = "none"

    def __post_init__(self) -> None:
        if self.client_certificates not in ("none", "wanted", "required"):
            raise LocalError(
                f"client certificates cannot be {self.client_certificates!r}", "say none, wanted or required"
            )
        if bool(self.certificate_file) != bool(self.key_file):
            raise LocalError("a certificate and its key belong together", "give both files")


def tls_context(protocol: int, options: TlsOptions) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.check_hostname = False  # `_identify` does it
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    try:
        if options.ca_file:
            context.load_verify_locations(options.ca_file)
        elif protocol == ssl.PROTOCOL_TLS_CLIENT:
            context.load_default_certs()
    except (OSError, ssl.SSLError):
        raise LocalError(f"{options.ca_file} holds no CA certificates", "give a readable PEM file") from None
    if options.certificate_file:
        _load_identity(context, options)
    return context


def _load_identity(context: ssl.SSLContext, options: TlsOptions) -> None:
    def password() -> bytes:
        raise LocalError(
            f"the key {options.key_file} is encrypted", "store it without a passphrase, mode 600"
        )

    try:
        context.load_cert_chain(options.certificate_file, options.key_file, password)
    except ssl.SSLError as error:
        if "KEY_VALUES_MISMATCH" in str(error):
            raise LocalError(
                f"the key {options.key_file} is not that of the certificate", "give both"
            ) from None
        raise LocalError(
            f"{options.certificate_file} and {options.key_file} are no certificate and key",
            "both must be PEM",
        ) from None
    except OSError as error:
        raise LocalError(
            f"cannot read {options.certificate_file} or {options.key_file}", (error.strerror or "").lower()
        ) from None


_VERIFY_PROBLEMS = {  # X509_V_ERR_… of OpenSSL
    9: "is not valid yet (or this machine's clock is wrong)",
    10: "has expired (or this machine's clock is wrong)",
    23: "has been revoked",
    26: "is not meant for this use",
}
_UNTRUSTED = (2, 18, 19, 20, 21)
_OUR_CERTIFICATE = {  # alerts that speak of it, RFC 8446 section 6.2
    "BAD_CERTIFICATE": "finds our certificate bad",
    "UNSUPPORTED_CERTIFICATE": "cannot use our certificate",
    "CERTIFICATE_REVOKED": "says that our certificate was revoked",
    "CERTIFICATE_EXPIRED": "says that our certificate has expired",
    "CERTIFICATE_UNKNOWN": "does not accept our certificate",
    "UNKNOWN_CA": "does not know the authority of our certificate",
}


def refusal(error: ssl.SSLError, who: str) -> SegueError:
    """Why a handshake failed, or a connection ended, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _UNTRUSTED:
            return LocalError(
                f"the certificate of {who} is signed by an authority that is not trusted here",
                "give the authority's certificate with --ca",
            )
        problem = _VERIFY_PROBLEMS.get(error.verify_code, f"is refused: {error.verify_message}")
        return RemoteError(f"the certificate of {who} {problem}")
    reason = error.reason or ""
    if "CERTIFICATE_REQUIRED" in reason or "PEER_DID_NOT_RETURN_A_CERTIFICATE" in reason:
        if "ALERT" in reason:
            return LocalError(f"{who} wants a certificate of ours", "give one with --cert and --key")
        return RemoteError(f"{who} gave no certificate")
    for alert, words in _OUR_CERTIFICATE.items():
        if "ALERT" in reason and reason.endswith(alert):
            return LocalError(f"{who} {words}", "give another with --cert and --key")
    if "UNEXPECTED_EOF" in reason:
        return RemoteError(f"{who} broke the connection off")
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE"):
        return RemoteError(f"{who} does not speak TLS 1.2 or 1.3")
    return RemoteError(f"TLS with {who} failed: {(reason or 'unknown error').replace('_', ' ').lower()}")
