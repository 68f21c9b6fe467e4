"""sipp 3.6.1 as Debian has it (UDP and TCP, no TLS): plays one end of a dialog, message by message, and counts what
came otherwise than expected.

    script = Script()
    script.request("INVITE", "sip:alice@example.org", sdp="sendrecv")
    script.response(407, credentials=True)
    …
    assert Sipp(host, folder, …).run(script) == Statistics(successful=1, failed=0)
"""

from __future__ import annotations

import csv
import re
import textwrap
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

from segue.base.errors import LocalError
from segue.lab.networks.namespaces import Namespace
from segue.lab.peers.program import Program, wait_until

PORT, MEDIA_PORT = 5080, 6000
_LONGEST = 25.0  # seconds that a run may take
_TRANSPORTS = {"udp": "u1", "tcp": "t1"}

BOB = "sip:bob@example.org"
_OVER = "the script is over"
_ASSIGNED = re.compile('assign_to="([0-9,]+)"')
_OURS = [
    "Contact: <sip:bob@[local_ip]:[local_port];transport=[transport]>",
    "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE",
]
_SDP = """
v=0
o=bob 1 {version} IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP {number}
a=rtpmap:{number} {codec}/8000
a=ptime:20
a={direction}"""


class Statistics(NamedTuple):
    """As sipp counts calls."""

    successful: int
    failed: int


class Script:
    """What bob's end sends and awaits, in this order. The first message decides who calls: a script that begins with
    `awaited("INVITE")` is called.

    Requests that begin something go to `uri`; those in a dialog where the other end's Contact and Record-Route say.
    `sdp` is a direction, and the description offers `codec`.
    """

    def __init__(self, codec: str = "PCMA") -> None:
        self._steps: list[str] = []
        self._sequence = 0
        self._version = 0
        self._codec, self._number = codec, {"PCMA": 8, "G729": 18}[codec]
        self.challenged_uri = ""  # of the request that answers a challenge: sipp must be told
        self._called = False
        self._early = self._confirmed = False  # the dialog
        self._uri = ""
        self._invited_at = 0  # step of our last INVITE
        self._invite_sequence = 0
        self._refused = False  # it was
        self._credentials = False

    # Requests of ours, and what comes back

    def request(self, method: str, uri: str = "", *headers: str, sdp: str = "") -> None:
        """`uri` is for what begins a dialog, or has none. An ACK or CANCEL belongs to the last INVITE."""
        if method not in ("ACK", "CANCEL"):
            self._sequence += 1
        if method == "INVITE":
            self._invited_at, self._invite_sequence = len(self._steps), self._sequence
        number = self._invite_sequence if method in ("ACK", "CANCEL") else self._sequence
        self._uri = uri or self._uri
        of_invite = method == "CANCEL" or (
            method == "ACK" and self._refused
        )  # RFC 3261 sections 9.1, 17.1.1.3
        in_dialog = (self._early or self._called) and not of_invite and not uri
        target = self._uri if not in_dialog else "[$3]" if self._called else "[next_url]"
        branch = f"[branch-{len(self._steps) - self._invited_at}]" if of_invite else "[branch]"
        lines = [
            f"{method} {target} SIP/2.0",
            f"Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch};rport",
            *(["[routes]"] if in_dialog else []),
            "Max-Forwards: 70",
            *self._ends(BOB if method == "REGISTER" else self._uri, method == "ACK" or in_dialog),
            "Call-ID: [call_id]",
            f"CSeq: {number} {method}",
            *([f"RAck:[$11] {self._invite_sequence} INVITE"] if method == "PRACK" else []),
            *_OURS,
            *(["[authentication]"] if self._credentials and method != "ACK" else []),
            *headers,
        ]
        self._credentials = self._credentials and method == "ACK"
        self._send(lines, sdp, retrans=method != "ACK")

    def response(
        self,
        status: int,
        holds: str = "",
        *,
        credentials: bool = False,
        optional: bool = False,
        reliable: bool = False,
    ) -> None:
        """Wait for one. `credentials`: it is a challenge, which the next request answers; `reliable`: the next PRACK
        is for it; `holds`: a regular expression that must be found in it."""
        attributes = f'response="{status}"'
        if not self._confirmed and 101 <= status <= 299:
            attributes += ' rrs="true"'
            self._early = True
        self._confirmed = self._confirmed or 200 <= status <= 299
        self._refused = status >= 300
        attributes += ' auth="true"' if credentials else ""
        attributes += ' optional="true"' if optional else ""
        self._credentials = credentials
        self.challenged_uri = self._uri if credentials else self.challenged_uri
        self._receive(attributes, holds, _keep("11", "RSeq:", ".*") if reliable else "")

    # Requests of the other end

    def awaited(self, method: str, holds: str = "") -> None:
        """Wait for a request."""
        actions = ""
        if method == "INVITE":
            self._called = self._called or not self._steps
            actions = _keep("3", "Contact:", "sip:[-A-Za-z0-9@.:;=]*") + _VIAS
            actions += _keep("6", "CSeq:", ".*") + _keep("7", "From:", ".*") + _keep("8", "To:", ".*")
        if method == "ACK" and self._called:
            actions = _keep("1", "From:", ".*") + _keep("2", "To:", ".*")
        rrs = ' rrs="true"' if method == "INVITE" and not self._confirmed else ""
        self._receive(f'request="{method}"{rrs}', holds, actions)

    def respond(self, status: int, reason: str, *headers: str, sdp: str = "", invite: bool = False) -> None:
        """To the request that came last, or to the last INVITE."""
        tag = ";tag=sipp[call_number]" if self._called and not self._confirmed else ""
        if invite:
            lines = ["[$4]", "[$5]", "[last_Record-Route:]", "From:[$7]", f"To:[$8]{tag}"]
            lines += ["Call-ID: [call_id]", "CSeq:[$6]"]
        else:
            lines = ["[last_Via:]", "[last_From:]", "[last_To:]", "[last_Call-ID:]", "[last_CSeq:]"]
        self._confirmed = self._confirmed or (invite and 200 <= status <= 299)
        self._send(
            [f"SIP/2.0 {status} {reason}", *lines, *_OURS, *headers], sdp, retrans=invite and status >= 200
        )

    def pause(self, seconds: float) -> None:
        self._steps.append(f'<pause milliseconds="{round(seconds * 1000)}"/>')

    def xml(self) -> str:
        return (
            '<?xml version="1.0" encoding="ISO-8859-1" ?>\n<!DOCTYPE scenario SYSTEM "sipp.dtd">\n'
            '<scenario name="script">\n'
            + "\n".join(self._steps)
            + f'\n<nop><action><log message="{_OVER}"/></action></nop>\n{self._references()}</scenario>\n'
        )

    # Inside

    def _references(self) -> str:
        """sipp does not start when a variable is set and never read."""
        names = sorted(
            {name for names in _ASSIGNED.findall("".join(self._steps)) for name in names.split(",")}
        )
        return f'<Reference variables="{",".join(names)}"/>\n' if names else ""

    def _ends(self, to: str, tagged: bool) -> list[str]:
        if self._called:
            return ["From:[$2]", "To:[$1]"]
        tag = "[peer_tag_param]" if tagged else ""
        return [f"From: <{BOB}>;tag=sipp[call_number]", f"To: <{to}>{tag}"]

    def _send(self, lines: list[str], sdp: str, retrans: bool) -> None:
        if sdp:
            self._version += 1
            body = _SDP.format(version=self._version, direction=sdp, number=self._number, codec=self._codec)
            lines = [*lines, "Content-Type: application/sdp", "Content-Length: [len]", *body.splitlines(), ""]
        else:
            lines = [*lines, "Content-Length: 0", "", ""]
        attributes = ' retrans="500"' if retrans else ""
        self._steps.append(f"<send{attributes}><![CDATA[\n" + "\n".join(lines) + "\n]]></send>")

    def _receive(self, attributes: str, holds: str, actions: str = "") -> None:
        if holds:
            actions += f'<ereg regexp="{holds}" search_in="msg" check_it="true" assign_to="9"/>'
        self._steps.append(
            f"<recv {attributes}><action>{actions}</action></recv>" if actions else f"<recv {attributes}/>"
        )


def _keep(variable: str, header: str, regexp: str) -> str:
    return f'<ereg regexp="{regexp}" search_in="hdr" header="{header}" assign_to="{variable}"/>'


# Requests come through one proxy: two Via fields, with others between. Those of an INVITE are wanted when other
# requests have come since.
_VIA = "(Via: [-A-Za-z0-9/.:;= ]*)"
_VIAS = f'<ereg regexp="{_VIA}.*{_VIA}" search_in="msg" assign_to="10,4,5"/>'


def registers(expires: int = 600) -> Script:
    """bob registers, and is challenged."""
    script = Script()
    for challenged in (True, False):
        script.request("REGISTER", f"sip:{BOB.partition('@')[2]}", f"Expires: {expires}")
        script.response(401 if challenged else 200, credentials=challenged)
    return script


class Sipp:
    """One run of a script from `address`, against `server`; echoes the media it gets (`-rtp_echo`)."""

    def __init__(
        self,
        host: Namespace,
        folder: Path,
        *,
        address: IPv4Address,
        server: str,
        transport: str,
        user: str,
        password: str,
    ) -> None:
        self.program = Program(host, folder, "sipp")
        self._transport = transport
        self._beside = False  # the script is played outside sipp's own call
        self._arguments = [
            server,
            *("-i", str(address), "-p", str(PORT), "-mi", str(address), "-mp", str(MEDIA_PORT), "-rtp_echo"),
            *(
                "-t",
                _TRANSPORTS[transport],
                "-m",
                "1",
                "-nostdin",
                "-timeout",
                f"{_LONGEST:g}",
                "-timeout_error",
            ),
            *("-au", user, "-ap", password, "-sf", "script.xml"),
            *("-trace_err", "-error_file", "errors", "-trace_msg", "-message_file", "messages"),
            *("-trace_logs", "-log_file", "log"),
            *("-trace_stat", "-stf", "statistics", "-fd", "1"),
        ]

    def start(self, script: Script) -> None:
        self._launch(script)

    def await_call(self, script: Script) -> None:
        """Register, and play the script when a call comes.

        A server reaches a phone over TCP by the connection that registered: there both are one run of sipp, to which
        the call is one out of call, with a log of its own in place of the statistics.
        """
        if self._transport == "udp":
            counted = self.run(registers())
            if counted != Statistics(1, 0):
                raise LocalError("sipp does not register", self.why())
            self._launch(script)
            return
        self._beside = True
        (self.program.folder / "call.xml").write_text(script.xml())
        registration = registers()
        registration.pause(_LONGEST)
        self._launch(registration, "-oocsf", "call.xml")
        messages = self.program.folder / "messages"
        wait_until(
            lambda: messages.exists() and "SIP/2.0 200" in messages.read_text(), 5, "sipp's registration"
        )

    def _launch(self, script: Script, *arguments: str) -> None:
        (self.program.folder / "script.xml").write_text(script.xml())
        for name in ("statistics", "log", "errors", "messages"):
            (self.program.folder / name).unlink(missing_ok=True)
        uri = ["-auth_uri", script.challenged_uri.removeprefix("sip:")] if script.challenged_uri else []
        self.program.launch(["sipp", *self._arguments, *uri, *arguments])

    def finish(self, timeout: float = _LONGEST + 5) -> Statistics:
        """When its one call is over. LocalError when sipp does not get that far."""
        if self._beside:
            wait_until(
                lambda: self._over() or self._aborted(), timeout, "the end of sipp's script", self.program.log
            )
            return Statistics(self._over(), self._aborted())
        self.program.wait(timeout)
        path = self.program.folder / "statistics"
        if not path.exists():
            raise LocalError("sipp counted nothing", f"see {self.program.log}")
        last = list(csv.DictReader(path.read_text().splitlines(), delimiter=";"))[-1]
        return Statistics(int(last["SuccessfulCall(C)"]), int(last["FailedCall(C)"]))

    def _over(self) -> int:
        log = self.program.folder / "log"
        return log.read_text().count(_OVER) if log.exists() else 0

    def _aborted(self) -> int:
        return self.why().count("Aborting call")

    def run(self, script: Script) -> Statistics:
        self.start(script)
        return self.finish()

    def why(self) -> str:
        """What sipp says was unexpected."""
        errors = self.program.folder / "errors"
        return textwrap.shorten(errors.read_text(errors="replace"), 2000) if errors.exists() else ""

    def stop(self) -> None:
        self.program.stop()
