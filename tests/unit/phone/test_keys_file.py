"""The file of SRTP keys that a phone in the lab writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from segue.base.keying import MasterKey, SrtpKeys, Suite
from segue.base.secret import Secret
from segue.phone.keys_file import KeysFile


def keys(number: int) -> SrtpKeys:
    local, remote = (MasterKey(Secret(bytes([each]) * 16), Secret(bytes(12))) for each in (number, 99))
    return SrtpKeys(Suite.AEAD_AES_128_GCM, local, remote)


def written(path: Path) -> list[int]:
    """The numbers of the keys in the file."""
    return [bytes.fromhex(json.loads(line)["local"]["key"])[0] for line in path.read_text().splitlines()]


def test_each_change_of_a_calls_keys_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    file = KeysFile(path)
    file.note("one", None)
    assert not path.exists()
    for call, number in (("one", 1), ("two", 2), ("one", 1), ("two", 2), ("one", 3), ("one", 3), ("one", 1)):
        file.note(call, keys(number))
    assert written(path) == [1, 2, 3, 1]
    file.forget("one")
    file.note("one", keys(4))
    assert written(path) == [1, 2, 3, 1, 4]


def test_a_file_that_others_may_read_is_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("old\n")
    path.chmod(0o644)
    with path.open() as held:
        KeysFile(path).note("one", keys(1))
        assert held.read() == "old\n", "who has it open reads no key"
    assert written(path) == [1] and path.stat().st_mode & 0o777 == 0o600


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    path, victim = tmp_path / "keys", tmp_path / "victim"
    victim.write_text("untouched")
    path.symlink_to(victim)
    KeysFile(path).note("one", keys(1))
    assert victim.read_text() == "untouched"
    assert not path.is_symlink() and written(path) == [1]


def test_a_file_that_was_exchanged_for_a_link_is_written_to_no_more(tmp_path: Path) -> None:
    path, victim = tmp_path / "keys", tmp_path / "victim"
    file = KeysFile(path)
    file.note("one", keys(1))
    victim.write_text("untouched")
    path.unlink()
    path.symlink_to(victim)
    with pytest.raises(OSError):
        file.note("one", keys(2))
    assert victim.read_text() == "untouched"
