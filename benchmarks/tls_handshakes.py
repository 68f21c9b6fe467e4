"""TLS over loopback, both ends in this process: handshakes whole and resumed, and what they put on the wire.

python benchmarks/tls_handshakes.py
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from time import process_time

from segue.base.address import Address
from segue.net.tcp import StreamConnection
from segue.net.tls import TlsClient, TlsConnection, TlsOptions, listen_tls
from segue.testing.certificates import make_ca, make_certificate

ROUNDS = 200


class Written:
    """Counts octets and segments of handshakes, at both ends."""

    def __init__(self) -> None:
        self.octets = self.pieces = 0
        plain = StreamConnection.write

        def write(stream: StreamConnection, octets: bytes) -> bool:
            self.octets += len(octets)
            self.pieces += 1
            return plain(stream, octets)

        StreamConnection.write = write  # type: ignore[method-assign]


def echo(connection: TlsConnection) -> None:
    connection.on_octets = lambda octets, _now: (connection.write(octets), None)[1]


async def once(client: TlsClient, at: Address) -> bool:
    answered = asyncio.Event()
    connection = await client.connect(at, "example.com", on_octets=lambda _octets, _now: answered.set())
    connection.write(b"x")
    await answered.wait()
    connection.close()
    return connection.resumed


async def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ca = make_ca(folder)
        server = make_certificate(ca, uris=["sip:example.com"])
        phone = make_certificate(ca, names=["phone.example.com"])
        written = Written()
        for title, clients, certificate in (("server only", "none", None), ("mutual", "required", phone)):
            options = TlsOptions(ca.file, server.certificate_file, server.key_file, clients)
            listener = listen_tls(Address("127.0.0.1", 0), "", echo, options)
            ours = (certificate.certificate_file, certificate.key_file) if certificate else ("", "")
            client = TlsClient(TlsOptions(ca.file, *ours))
            for resumed in (False, True):
                written.octets = written.pieces = 0
                start = process_time()
                for _ in range(ROUNDS):
                    if not resumed:
                        client.forget()
                    assert await once(client, listener.local) is resumed
                spent = (process_time() - start) / ROUNDS
                print(
                    f"{title:12} {'resumed' if resumed else 'whole':8} {spent * 1e3:6.2f} ms of processor, both ends"
                    f"   {1 / spent:6.0f} a second   {written.octets / ROUNDS:6.0f} octets"
                    f" in {written.pieces / ROUNDS:.0f} writes"
                )
            listener.close()


if __name__ == "__main__":
    asyncio.run(main())
