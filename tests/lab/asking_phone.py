"""`segue answer`, which also asks the peer for its OPTIONS in the call: `python asking_phone.py SECONDS answer …`.

An OPTIONS so many seconds after the call is up; the answer is among its event lines, as `sip_received`.
"""

from __future__ import annotations

import sys
from typing import Any

from segue.cli import phone_run
from segue.cli.main import main

AFTER = float(sys.argv.pop(1))


class AskingPhone(phone_run.UnattendedPhone):
    def _on_up(self, line: dict[str, Any]) -> None:
        super()._on_up(line)
        self._later(AFTER, self._ask, line["call_id"])

    def _ask(self, call_id: str) -> None:
        self._engine.agent.calls[call_id].session.send("OPTIONS", self._loop.time())
        self._engine.settle()


phone_run.UnattendedPhone = AskingPhone  # type: ignore[misc]
main()
