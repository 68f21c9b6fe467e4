"""The `a=crypto` attribute, read and written (RFC 4568 sections 4, 6 and 9).

An attribute that breaks a rule is invalid as a whole (section 6.1): RemoteError with status 488.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from segue.base.errors import RemoteError
from segue.base.keying import MasterKey, Suite
from segue.base.secret import Secret

MAX_LENGTH = 4_000  # characters of a whole attribute
MAX_KEYS = 16
MAX_LIFETIME = 1 << 48  # packets: RFC 3711 section 9.2, RFC 7714 section 14
MAX_MKI_OCTETS = 128

_HEAD = re.compile(r"(0|[1-9][0-9]{0,8})[ \t]+([A-Za-z0-9_]{1,64})[ \t]+([!-~]+)((?:[ \t]+[!-~]+)*)[ \t]*")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{4,512}={0,2}")
_DECIMAL = re.compile(r"[1-9][0-9]{0,308}")
# Names of the AES-256 suites in phones that are older than RFC 6188.
_ALIASES = {f"AES_CM_256_HMAC_SHA1_{tag}": Suite(f"AES_256_CM_HMAC_SHA1_{tag}") for tag in (80, 32)}
_SUITES = {**{suite.value: suite for suite in Suite}, **_ALIASES}


@dataclass(frozen=True)
class InlineKey:
    """One `inline:` key: master key and salt joined, packets it may protect, MKI (RFC 4568 section 6.1)."""

    key_and_salt: Secret
    lifetime: int | None = None  # packets; None is the default of the suite
    mki: bytes = b""  # as it stands in packets: its length is the length of the field

    def master_key(self, suite: Suite) -> MasterKey:
        """Split as `suite` says. Raises RemoteError when the length does not fit the suite."""
        octets = self.key_and_salt.reveal()
        if len(octets) != suite.key_length + suite.salt_length:
            raise _invalid(f"{len(octets)} octets of key and salt for {suite.value}")
        key, salt = octets[: suite.key_length], octets[suite.key_length :]
        return MasterKey(Secret(key), Secret(salt), self.mki, self.lifetime or MAX_LIFETIME)

    @classmethod
    def of(cls, master: MasterKey) -> InlineKey:
        lifetime = master.lifetime if master.lifetime < MAX_LIFETIME else None
        return cls(Secret(master.key.reveal() + master.salt.reveal()), lifetime, master.mki)


@dataclass(frozen=True)
class SessionParameters:
    """What overrides SRTP's defaults (RFC 4568 section 6.3)."""

    key_derivation_rate: int | None = None  # the n of 2^n
    unencrypted_srtp: bool = False
    unencrypted_srtcp: bool = False
    unauthenticated_srtp: bool = False
    fec_order: str | None = None  # "FEC_SRTP" or "SRTP_FEC"
    fec_keys: tuple[InlineKey, ...] = ()
    window_size_hint: int | None = None  # packets
    optional: tuple[str, ...] = ()  # unknown ones that may be ignored (section 6.3.7)


@dataclass(frozen=True)
class CryptoAttribute:
    """One offered or accepted suite with its keys. `suite` is the name as written; see `known_suite`."""

    tag: int
    suite: str
    keys: tuple[InlineKey, ...]
    session: SessionParameters = SessionParameters()

    @property
    def known_suite(self) -> Suite | None:
        return _SUITES.get(self.suite.upper())


def parse_crypto(value: str) -> CryptoAttribute:
    """Read what follows `a=crypto:`. Raises RemoteError(488) when the attribute is invalid.

    Names of suites and parameters are not case-sensitive (RFC 4568 section 4).
    """
    match = _HEAD.fullmatch(value) if len(value) <= MAX_LENGTH else None
    if match is None:
        raise _invalid("not of the form tag suite key")
    tag, suite, keys, session = match.groups()
    attribute = CryptoAttribute(int(tag), suite, _keys(keys), _session(session.split()))
    if attribute.known_suite is not None:
        for key in attribute.keys:
            key.master_key(attribute.known_suite)
    return attribute


def _keys(text: str) -> tuple[InlineKey, ...]:
    parts = text.split(";")
    if len(parts) > MAX_KEYS:
        raise _invalid(f"over {MAX_KEYS} keys")
    keys = tuple(_key(part) for part in parts)
    if len(keys) > 1 and (len({len(key.mki) for key in keys}) > 1 or not keys[0].mki):
        raise _invalid("several keys need MKIs of one length")
    return keys


def _key(text: str) -> InlineKey:
    method, _, info = text.partition(":")
    if method.lower() != "inline":
        raise _invalid("key method is not inline")
    first, *rest = info.split("|")
    # An empty field stands for a default in some phones ("key||1:4").
    fields = [field for field in rest if field]
    mki = _mki(fields.pop()) if fields and ":" in fields[-1] else b""
    lifetime = _lifetime(fields.pop()) if fields else None
    if fields:
        raise _invalid("too many fields in a key")
    return InlineKey(_key_and_salt(first), lifetime, mki)


def _key_and_salt(text: str) -> Secret:
    if not _BASE64.fullmatch(text):
        raise _invalid("key is not base64")
    bare = text.rstrip("=")  # section 6.1: padding characters are discarded
    try:
        return Secret(base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True))
    except binascii.Error:
        raise _invalid("key is not base64") from None


def _lifetime(text: str) -> int:
    power = text.removeprefix("2^")
    if not _DECIMAL.fullmatch(power) or len(power) > 15:
        raise _invalid("lifetime is no number")
    if power != text and int(power) > 48:
        raise _invalid("lifetime over 2^48 packets")
    lifetime = 1 << int(power) if power != text else int(power)
    if lifetime > MAX_LIFETIME:
        raise _invalid("lifetime over 2^48 packets")
    return lifetime


def _mki(text: str) -> bytes:
    value, _, length = text.partition(":")
    if not _DECIMAL.fullmatch(value) or not _DECIMAL.fullmatch(length) or len(length) > 3:
        raise _invalid("MKI is not number:length")
    if int(length) > MAX_MKI_OCTETS or int(value).bit_length() > 8 * int(length):
        raise _invalid("MKI does not fit its length")
    return int(value).to_bytes(int(length), "big")


def _session(parameters: list[str]) -> SessionParameters:
    flags: set[str] = set()
    valued: dict[str, str] = {}
    optional: list[str] = []
    for parameter in parameters:
        name, equals, value = parameter.partition("=")
        name = name.upper()
        if name in ("KDR", "FEC_ORDER", "FEC_KEY", "WSH") and equals:
            valued[name] = value
        elif name in ("UNENCRYPTED_SRTP", "UNENCRYPTED_SRTCP", "UNAUTHENTICATED_SRTP") and not equals:
            flags.add(name)
        elif parameter.startswith("-"):
            optional.append(parameter)
        else:
            raise _invalid(f"unknown session parameter {name[:40]!r}")  # section 6.3.7
    return SessionParameters(
        key_derivation_rate=_small(valued["KDR"], 0, 24, "KDR") if "KDR" in valued else None,
        unencrypted_srtp="UNENCRYPTED_SRTP" in flags,
        unencrypted_srtcp="UNENCRYPTED_SRTCP" in flags,
        unauthenticated_srtp="UNAUTHENTICATED_SRTP" in flags,
        fec_order=_fec_order(valued["FEC_ORDER"]) if "FEC_ORDER" in valued else None,
        fec_keys=_keys(valued["FEC_KEY"]) if "FEC_KEY" in valued else (),
        window_size_hint=_small(valued["WSH"], 64, 1 << 31, "WSH") if "WSH" in valued else None,
        optional=tuple(optional),
    )


def _small(text: str, low: int, high: int, what: str) -> int:
    if (text != "0" and not _DECIMAL.fullmatch(text)) or len(text) > 10 or not low <= int(text) <= high:
        raise _invalid(f"{what} out of range")
    return int(text)


def _fec_order(text: str) -> str:
    if text.upper() not in ("FEC_SRTP", "SRTP_FEC"):
        raise _invalid("FEC_ORDER")
    return text.upper()


def write_crypto(attribute: CryptoAttribute) -> str:
    """What follows `a=crypto:`. It holds the keys in the clear: for the SDP body and nowhere else."""
    session = attribute.session
    words = [str(attribute.tag), attribute.suite, ";".join(_write_key(key) for key in attribute.keys)]
    if session.key_derivation_rate is not None:
        words.append(f"KDR={session.key_derivation_rate}")
    words += ["UNENCRYPTED_SRTP"] * session.unencrypted_srtp
    words += ["UNENCRYPTED_SRTCP"] * session.unencrypted_srtcp
    words += ["UNAUTHENTICATED_SRTP"] * session.unauthenticated_srtp
    if session.fec_order is not None:
        words.append(f"FEC_ORDER={session.fec_order}")
    if session.fec_keys:
        words.append("FEC_KEY=" + ";".join(_write_key(key) for key in session.fec_keys))
    if session.window_size_hint is not None:
        words.append(f"WSH={session.window_size_hint}")
    return " ".join([*words, *session.optional])


def _write_key(key: InlineKey) -> str:
    text = "inline:" + base64.b64encode(key.key_and_salt.reveal()).decode()
    if key.lifetime is not None:
        power = key.lifetime.bit_length() - 1
        text += f"|2^{power}" if power and key.lifetime == 1 << power else f"|{key.lifetime}"
    if key.mki:
        text += f"|{int.from_bytes(key.mki, 'big')}:{len(key.mki)}"
    return text


def _invalid(problem: str) -> RemoteError:
    return RemoteError(f"crypto attribute: {problem}", 488)
