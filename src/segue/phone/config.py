"""What a phone is told. Frozen, validated at construction; reading files is the caller's (`cli`)."""

from __future__ import annotations

from dataclasses import dataclass, field

from segue.base.errors import LocalError
from segue.base.secret import Secret
from segue.call.config import MediaConfig
from segue.call.relays import RelayServer
from segue.mobility.budget import DuplicationLimits
from segue.mobility.policy import Preferences
from segue.protocols.turn.uri import parse_server_uri

TRANSPORTS = ("tls", "tcp", "udp")


@dataclass(frozen=True)
class Account:
    """Who we are and who carries our signalling.

    `aor` is our address of record (`sip:alice@example.org`). `registrar` is the proxy that every request
    goes through (`example.org`, `sip:proxy.example.org:5061`); empty: the domain of the address of record.
    With `register` false the phone calls and is called directly, without a server. `instance` is the
    device's own URN (RFC 5626 section 4.1), the same over restarts. `ca`, `certificate` and `key` are paths
    of PEM files; `ca` empty: the system's. `session_interval` (seconds, at least 90): calls are refreshed so often,
    twice, and end when that fails (RFC 4028); 0: we ask for none.
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
    session_interval: int = 1800

    def __post_init__(self) -> None:
        if not self.aor.startswith(("sip:", "sips:")) or "@" not in self.aor:
            raise LocalError(f"{self.aor!r} is no address of record", "write sip:you@your.domain")
        if self.transport not in TRANSPORTS:
            raise LocalError(f"no transport {self.transport!r}", f"choose among {', '.join(TRANSPORTS)}")
        if self.session_interval and self.session_interval < 90:
            raise LocalError(f"no session interval of {self.session_interval} s", "take 0, or 90 and more")
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
class Sound:
    """Where speech comes from and goes to, as `devices.open_source` and `open_sink` read it, and how long a
    call that is not held may hear nothing before it ends (`silence_limit`, seconds). `move_tone`: our own ear is told
    of each move by a short tone when it begins and ends."""

    audio_in: str = "device"
    audio_out: str = "device"
    silence_limit: float = 30.0
    move_tone: bool = False


@dataclass(frozen=True)
class LabOptions:
    """For measurements only: the first RTP sequence number, and a file (mode 600) that gets the SRTP keys, a
    line for each exchange. `segue call` takes them inside the lab's namespaces and nowhere else."""

    initial_sequence: int | None = None
    keys_file: str = ""


@dataclass(frozen=True)
class Networks:
    """Which networks calls may use and how they move among them.

    `interfaces` empty: all but loopback. `family` None: IPv6 and IPv4. `resolver_dir`: a folder with one
    INTERFACE.conf in resolv.conf's format for each network, as `segue attach` writes it; without it
    /etc/resolv.conf serves all. `radio`: a socket at which the radio's signal is reported
    (`mobility.service`); empty: a network that fades is left when it is lost. `stun`: URIs of servers that tell where
    we seem to be (`stun:host`, RFC 7064); `relays`: TURN servers. `metered` names interfaces whose octets cost money:
    duplicates there are bounded by `duplicates`.
    """

    interfaces: tuple[str, ...] = ()
    family: int | None = None
    resolver_dir: str = ""
    radio: str = ""
    metered: tuple[str, ...] = ()
    duplicates: DuplicationLimits = field(default_factory=DuplicationLimits)
    stun: tuple[str, ...] = ()
    relays: tuple[RelayServer, ...] = ()
    preferences: Preferences = field(default_factory=Preferences)

    def __post_init__(self) -> None:
        for uri in self.stun:
            if parse_server_uri(uri).relay:
                raise LocalError(f"{uri!r} is a TURN server", "give it with --turn")


@dataclass(frozen=True)
class PhoneConfig:
    """All of it. `local_port`: the first port for signalling without a server, and for media; 0: any."""

    account: Account
    media: MediaConfig = field(default_factory=MediaConfig)
    sound: Sound = field(default_factory=Sound)
    networks: Networks = field(default_factory=Networks)
    local_port: int = 0
    user_agent: str = "Segue"
    lab: LabOptions = field(default_factory=LabOptions)

    def __post_init__(self) -> None:
        if not 0 <= self.local_port <= 65535:
            raise LocalError(f"no port {self.local_port}", "choose one from 1024 to 65535, or 0 for any")
