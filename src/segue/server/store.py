"""Users and bindings in one SQLite file (shell side: it reads and writes a disk).

What `write` has returned from survives a crash of the process, and with `synchronous=FULL` one of the machine.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from segue.base.address import Address
from segue.base.errors import LocalError
from segue.protocols.sip.flow import Flow
from segue.server.authentication import Hashes
from segue.server.location import Binding, Dirty

VERSION = 1
_TABLES = """
create table if not exists facts (name text primary key, value blob) without rowid;
create table if not exists users (name text, domain text, algorithm text, hash text,
    primary key (domain, name, algorithm)) without rowid;
create table if not exists bindings (aor text, key text, contact text, params text, instance text, reg_id integer,
    call_id text, sequence integer, outbound integer, gruu integer, transport text, local_host text,
    local_port integer, remote_host text, remote_port integer, expires_at real, registered_at real,
    primary key (aor, key)) without rowid;
"""
_WRITE = "insert or replace into bindings values (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
_REMOVE = "delete from bindings where aor = ? and key = ?"
Row = tuple[object, ...]


class Changes(NamedTuple):
    """What one commit writes, as rows: the bindings themselves may change meanwhile."""

    rows: list[Row]
    removed: list[tuple[str, str]]


def changes_of(dirty: Dirty, wall_offset: float) -> Changes:
    """`wall_offset` is Unix time less `now`."""
    return Changes([_row(b, wall_offset) for b in dirty.written.values()], list(dirty.removed))


class Store:
    """Raises LocalError for a file that cannot be used."""

    def __init__(self, path: str) -> None:
        self.path = path
        if path != ":memory:":
            _make_private(Path(path))
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = full")
            self._db.execute("pragma busy_timeout = 5000")
            found = self._db.execute("pragma user_version").fetchone()[0]
            if found not in (0, VERSION):
                raise LocalError(
                    f"{path} is of version {found}", "use another file, or the Segue that made it"
                )
            self._db.executescript(_TABLES)
            self._db.execute(f"pragma user_version = {VERSION}")
        except sqlite3.Error as error:
            raise LocalError(f"cannot use the database {path} ({error})", "give --db another file") from None

    # Bindings

    def write(self, changes: Changes) -> None:
        """One transaction. Raises LocalError when the disk does not take it."""
        db = self._db
        try:
            db.execute("begin immediate")
            db.executemany(_WRITE, changes.rows)
            db.executemany(_REMOVE, changes.removed)
            db.execute("commit")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                db.execute("rollback")
            raise LocalError(
                f"cannot write to {self.path} ({error})", "see whether the disk is full"
            ) from None

    def bindings(self, wall: float, wall_offset: float) -> list[Binding]:
        """Those that have not expired at Unix time `wall`, the oldest first."""
        self._db.execute("delete from bindings where expires_at <= ?", (wall,))
        rows = self._db.execute("select * from bindings order by registered_at")
        return [_binding(row, wall_offset) for row in rows]

    # Users

    def users(self, domain: str) -> dict[str, Hashes]:
        users: dict[str, Hashes] = {}
        rows = self._db.execute("select name, algorithm, hash from users where domain = ?", (domain,))
        for name, algorithm, value in rows:
            users.setdefault(name, {})[algorithm] = value
        return users

    def put_users(self, domain: str, users: dict[str, Hashes]) -> None:
        """Add them, or give them other passwords; all or none."""
        rows = [(name, domain, *one) for name, hashes in users.items() for one in hashes.items()]
        self._db.execute("begin immediate")
        self._db.executemany("insert or replace into users values (?,?,?,?)", rows)
        self._db.execute("commit")

    def remove_user(self, domain: str, name: str) -> bool:
        """False when there was none."""
        gone = self._db.execute("delete from users where domain = ? and name = ?", (domain, name)).rowcount
        self._db.execute("delete from bindings where aor = ?", (f"sip:{name}@{domain}",))
        return gone > 0

    def users_version(self) -> int:
        """Changes whenever another process has written to the file."""
        return int(self._db.execute("pragma data_version").fetchone()[0])

    # Facts

    def fact(self, name: str, default: bytes) -> bytes:
        """A value that is made once and kept: the key of flow tokens."""
        self._db.execute("insert or ignore into facts values (?, ?)", (name, default))
        return bytes(self._db.execute("select value from facts where name = ?", (name,)).fetchone()[0])

    def close(self) -> None:
        self._db.close()


def _make_private(path: Path) -> None:
    """The file holds what stands for passwords: mode 600 from its first octet on."""
    try:
        if path.exists():
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise LocalError(f"{path} can be read by others", f"chmod 600 {path}")
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        raise LocalError(
            f"cannot make the database {path} ({error.strerror})", "give --db another file"
        ) from None


def _row(binding: Binding, offset: float) -> Row:
    flow = binding.flow
    place: Iterable[object] = (None, None, None, None, None)
    if flow is not None:
        place = (flow.transport, flow.local.host, flow.local.port, flow.remote.host, flow.remote.port)
    return (
        binding.aor,
        binding.key,
        binding.contact,
        binding.params,
        binding.instance,
        binding.reg_id,
        binding.call_id,
        binding.sequence,
        binding.outbound,
        binding.gruu,
        *place,
        (binding.deadline or 0.0) + offset,
        binding.registered_at + offset,
    )


def _binding(row: Row, offset: float) -> Binding:
    aor, key, contact, params, instance, reg_id, call_id, sequence, outbound, gruu, *place, expires, at = row
    transport, local_host, local_port, remote_host, remote_port = place
    flow = None
    if transport == "UDP":  # a connection does not outlive the process (RFC 5626 section 4.2.1)
        local, remote = (
            Address(str(local_host), _int(local_port)),
            Address(str(remote_host), _int(remote_port)),
        )
        flow = Flow("UDP", local, remote)
    binding = Binding(
        str(aor),
        str(key),
        str(contact),
        str(params),
        str(instance),
        _int(reg_id),
        str(call_id),
        _int(sequence),
        bool(outbound),
        bool(gruu),
        flow,
        float(str(expires)) - offset,
    )
    binding.registered_at = float(str(at)) - offset
    return binding


def _int(value: object) -> int:
    return int(str(value))
