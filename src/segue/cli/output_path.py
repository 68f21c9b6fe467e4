"""Where a command is to write: said to be impossible before the work, not after it."""

from __future__ import annotations

import os
from pathlib import Path

from segue.base.errors import LocalError


def writable_folder(text: str, option: str) -> Path:
    """The folder, made if need be. Raises LocalError when nothing can be written there."""
    folder = Path(text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalError(
            f"cannot make the folder {text}: {error.strerror}", f"give another {option}"
        ) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise LocalError(f"cannot write in {text}", f"give another {option}")
    return folder


def writable_file(text: str, option: str) -> Path:
    """The file, which is not touched. Raises LocalError when it cannot be written."""
    file = Path(text)
    if not file.parent.is_dir():
        raise LocalError(f"cannot write {text}: there is no such folder", f"give another {option}")
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise LocalError(f"cannot write {text}", f"give another {option}")
    return file
