"""Captures of interfaces, and reading them: pcapng with nanoseconds and, for each frame, whether the host of the
interface sent or received it. Wireshark and tshark read the files.

The far ends in the `wire` are captured, not the interfaces in the hosts: a far end never moves, whatever breaks,
and a frame is on it within microseconds of leaving or reaching the host. Times are the kernel's (CLOCK_REALTIME).
"""

from __future__ import annotations

import json
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from segue.base.errors import LocalError
from segue.lab.measure.packets import Packet, parse_frame
from segue.lab.networks.links import python_command
from segue.lab.networks.namespaces import Namespace
from segue.net.packet_socket import PacketSocket

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_ETHERNET = 1  # LINKTYPE_ETHERNET
_SENT, _RECEIVED = 2, 1  # epb_flags: outbound, inbound, as the host sees it
_NANOSECONDS = 9  # if_tsresol
_FLUSH = 0.25  # seconds
_BUFFER = 16 << 20


class Captured(NamedTuple):
    """A frame on an interface. `time` is Unix time in seconds."""

    time: float
    place: str  # host and interface, "mn wlan0"
    received: bool  # by that host; else sent
    frame: bytes

    def packet(self) -> Packet | None:
        """The IP packet in it, if any."""
        return parse_frame(self.frame)


class CaptureWriter:
    """One pcapng file of one interface."""

    def __init__(self, file: BinaryIO, place: str) -> None:
        self._file = file
        header = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
        resolution = _option(9, bytes([_NANOSECONDS]))
        interface = struct.pack("<HHI", _ETHERNET, 0, 0) + _option(2, place.encode()) + resolution
        file.write(_block(_SECTION, header) + _block(_INTERFACE, interface + _option(0, b"")))

    def write(self, frame: bytes, time_ns: int, received: bool) -> None:
        length = len(frame)
        head = struct.pack("<IIIII", 0, time_ns >> 32, time_ns & 0xFFFFFFFF, length, length)
        flags = _option(2, struct.pack("<I", _RECEIVED if received else _SENT)) + _option(0, b"")
        self._file.write(_block(_PACKET, head + frame + b"\0" * (-length % 4) + flags))


def read_capture(path: Path) -> Iterator[Captured]:
    """Frames in the order of the file; a last one cut short is left out. LocalError for another kind of file."""
    data = path.read_bytes()
    if data[:4] != struct.pack("<I", _SECTION) or data[8:12] != struct.pack("<I", 0x1A2B3C4D):
        raise LocalError(f"{path} is no capture of the lab", "give a .pcapng file it wrote")
    place = ""
    offset = 0
    while offset + 12 <= len(data):
        kind, length = struct.unpack_from("<II", data, offset)
        if length < 12 or offset + length > len(data):
            return
        body = data[offset + 8 : offset + length - 4]
        offset += length
        if kind == _PACKET and len(body) < 20:
            return
        if kind == _INTERFACE:
            place = _options(body[8:]).get(2, b"").decode(errors="replace")
        elif kind == _PACKET:
            _, high, low, captured, _ = struct.unpack_from("<IIIII", body)
            end = 20 + captured
            flags = int.from_bytes(_options(body[end + (-captured % 4) :]).get(2, b""), "little")
            yield Captured(((high << 32) + low) / 1e9, place, flags & 3 == _RECEIVED, body[20:end])


def read_captures(folder: Path) -> list[Captured]:
    """All captures of a folder, by time."""
    frames = [frame for path in sorted(folder.glob("*.pcapng")) for frame in read_capture(path)]
    return sorted(frames, key=lambda frame: frame.time)


class Capture:
    """A running capture of several interfaces by one process."""

    def __init__(self, wire: Namespace, folder: Path, places: dict[str, str]) -> None:
        """`places`: what each far end is called in its file, for example `{"mn-wlan0": "mn wlan0"}`. The file of
        a far end is `folder`/NAME.pcapng. Returns when all are captured."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._process = wire.popen(
            python_command("segue.lab.measure.capture", folder, json.dumps(places)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise LocalError("the capture did not start", "its words are on standard error")

    def stop(self) -> dict[str, int]:
        """End it; the number of frames that the kernel had to drop, by far end (all 0, or figures are void).
        What was on a wire before this call is in the files."""
        self._process.send_signal(signal.SIGTERM)
        output: bytes = self._process.communicate(timeout=10)[0]
        result: dict[str, Any] = json.loads(output or b"{}")
        return {str(name): int(dropped) for name, dropped in result.items()}


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + b"\0" * (-len(value) % 4)


def _options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(data) >= 4:
        code, length = struct.unpack_from("<HH", data)
        if code == 0:
            break
        found[code] = data[4 : 4 + length]
        data = data[4 + length + (-length % 4) :]
    return found


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length


class _Port:
    def __init__(self, folder: Path, name: str, place: str) -> None:
        self.name = name
        self.socket = PacketSocket(name, outgoing=True, buffer=_BUFFER)
        self.file = open(folder / f"{name}.pcapng", "wb", buffering=1 << 20)  # noqa: SIM115
        self.writer = CaptureWriter(self.file, place)

    def fileno(self) -> int:
        return self.socket.fileno()

    def drain(self) -> None:
        """What leaves a far end reaches the host: outgoing here is received there."""
        try:
            while (frame := self.socket.receive()) is not None:
                self.writer.write(frame.octets, frame.time_ns or time.time_ns(), frame.outgoing)
        except OSError:
            pass  # the far end has just gone down, told once


def _run(ports: Iterable[_Port]) -> None:
    """Until SIGTERM; then all that waits is taken."""
    ports = list(ports)
    running = True

    def end(*_: object) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, end)
    print("ready", flush=True)
    flush_at = time.monotonic() + _FLUSH
    while running:
        for port in select.select(ports, [], [], _FLUSH)[0]:
            port.drain()
        if time.monotonic() >= flush_at:
            flush_at = time.monotonic() + _FLUSH
            for port in ports:
                port.file.flush()
    for port in ports:
        port.drain()
        port.file.close()
    print(json.dumps({port.name: port.socket.lost() for port in ports}))


def main() -> None:
    folder = Path(sys.argv[1])
    _run(_Port(folder, name, place) for name, place in json.loads(sys.argv[2]).items())


if __name__ == "__main__":
    main()
