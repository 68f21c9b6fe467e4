"""Whose fault it was. Nothing but these two leaves a core; our own bugs are assertions.

`LocalError`: the user or this machine (configuration, a missing device, no permission), with the remedy.
`RemoteError`: the other end or the network. It carries the SIP status that the standard asks for, if any.
"""

from __future__ import annotations


class SegueError(Exception):
    """Base of everything Segue raises on purpose."""


class LocalError(SegueError):
    """Something here must be changed by the user. One line that says what, and one that says how."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}: {self.remedy}" if self.remedy else self.problem


class RemoteError(SegueError):
    """The peer sent what the standard does not allow, or refused what we asked.

    `status` is the SIP response code that fits (400, 488 …), when there is one.
    """

    def __init__(self, problem: str, status: int | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.status = status
