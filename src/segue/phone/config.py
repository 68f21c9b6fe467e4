"""What a phone is told. Frozen, validated at construction; reading files is the caller's (`cli`)."""

from __future__ import annotations

from dataclasses import dataclass, field

from segue.base.errors import LocalError
from segue.base.keying import Suite
from segue.base.secret import Secret
from segue.mobility.policy import Preferences

TRANSPORTS = ("tls", "tcp", "udp")
CODECS = ("PCMU", "PCMA", "G722", "opus")
KEYINGS = ("sdes", "none")


@dataclass(frozen=True)
class Account:
    """Who we are and who carries our signalling.

    `aor` is our address of record (`sip:alice@example.org`). `registrar` is the proxy that every request
    goes through (`example.org`, `sip:proxy.example.org:5061`); empty: the domain of the address of record.
    With `register` false the phone calls and is called directly, without a server. `instance` is the
    device's own URN (RFC 5626 section 4.1), the same over restarts. `ca`, `certificate` and `key` are paths
    of PEM files; `ca` empty: the system's.
    """

    aor: str
    registrar: str = ""
    transport: str = "tls"
    register: bool = True
    user: str = ""
    password: Secret = field(default_factory=lambda: Secret(""))
    instance: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""
    expires: int = 600

    def __post_init__(self) -> None:
        if not self.aor.startswith(("sip:", "sips:")) or "@" not in self.aor:
            raise LocalError(f"{self.aor!r} is no address of record", "write sip:you@your.domain")
        if self.transport not in TRANSPORTS:
            raise LocalError(f"no transport {self.transport!r}", f"choose among {', '.join(TRANSPORTS)}")
        if bool(self.certificate) != bool(self.key):
            raise LocalError("a certificate needs its key and a key its certificate", "give --cert and --key")

    @property
    def domain(self) -> str:
        """The host part of the address of record."""
        return self.aor.partition("@")[2].partition(";")[0]

    @property
    def username(self) -> str:
        """The user part, which digest uses unless told otherwise."""
        return self.user or self.aor.partition(":")[2].partition("@")[0]


@dataclass(frozen=True)
class Media:
    """How calls sound and how they are protected.

    `codecs` and `suites` in order of preference. `audio_in` and `audio_out` as `devices.open_source` and
    `open_sink` read them; `local_port` 0: any. `silence_limit` is how many seconds without any media end a
    call that is not held.
    """

    keying: str = "sdes"
    suites: tuple[Suite, ...] = (
        Suite.AEAD_AES_256_GCM,
        Suite.AEAD_AES_128_GCM,
        Suite.AES_256_CM_HMAC_SHA1_80,
        Suite.AES_CM_128_HMAC_SHA1_80,
        Suite.AES_CM_128_HMAC_SHA1_32,
    )
    codecs: tuple[str, ...] = ("opus", "G722", "PCMA", "PCMU")
    audio_in: str = "device"
    audio_out: str = "device"
    local_port: int = 0
    silence_limit: float = 30.0
    initial_sequence: int | None = None  # the lab only
    keys_file: str = ""  # the lab only: where the first exchange's SRTP keys are written, mode 600

    def __post_init__(self) -> None:
        if self.keying not in KEYINGS:
            raise LocalError(f"no key agreement {self.keying!r}", f"choose among {', '.join(KEYINGS)}")
        unknown = [codec for codec in self.codecs if codec not in CODECS]
        if unknown or not self.codecs:
            raise LocalError(f"no codec {', '.join(unknown) or 'given'}", f"choose among {', '.join(CODECS)}")
        if not 0 <= self.local_port <= 65535:
            raise LocalError(f"no port {self.local_port}", "choose one from 1024 to 65535, or 0 for any")


@dataclass(frozen=True)
class Networks:
    """Which networks calls may use and how they move among them.

    `interfaces` empty: all but loopback. `family` None: IPv6 and IPv4. `resolver_dir`: a folder with one
    INTERFACE.conf in resolv.conf's format for each network, as `segue attach` writes it; without it
    /etc/resolv.conf serves all. `radio`: a socket that reports the radio's signal; empty: nl80211.
    """

    interfaces: tuple[str, ...] = ()
    family: int | None = None
    resolver_dir: str = ""
    radio: str = ""
    preferences: Preferences = field(default_factory=Preferences)


@dataclass(frozen=True)
class PhoneConfig:
    account: Account
    media: Media = field(default_factory=Media)
    networks: Networks = field(default_factory=Networks)
    user_agent: str = "Segue"
