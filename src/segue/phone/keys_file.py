"""The SRTP keys of a phone's calls in a file, so that the lab can decrypt captures. Nobody else writes them."""

from __future__ import annotations

import json
import os
from pathlib import Path

from segue.base.keying import SrtpKeys

_APPEND = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW


class KeysFile:
    """A line (JSON) whenever a call has other keys than before. The first line begins a new file, which is ours alone
    whatever was at `path` before: a file that others may read, or a link to one of theirs."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._begun = False
        self._written: dict[str, SrtpKeys] = {}

    def note(self, call_id: str, keys: SrtpKeys | None) -> None:
        """The keys of this call as they are now. Raises OSError."""
        if keys is None or self._written.get(call_id) == keys:
            return
        self._written[call_id] = keys
        if not self._begun:
            self._path.unlink(missing_ok=True)
        flags = _APPEND if self._begun else _APPEND | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(self._path, flags, 0o600), "w") as file:
            self._begun = True
            file.write(json.dumps(_said(keys)) + "\n")

    def forget(self, call_id: str) -> None:
        """The call is over."""
        self._written.pop(call_id, None)


def _said(keys: SrtpKeys) -> dict[str, object]:
    ends = (("local", keys.local), ("remote", keys.remote))
    return {
        "suite": keys.suite.value,
        **{name: {"key": key.key.reveal().hex(), "salt": key.salt.reveal().hex()} for name, key in ends},
    }
