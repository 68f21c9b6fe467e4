"""What the transaction layer tells its user, and the queue in which it says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from segue.protocols.sip.flow import Flow

if TYPE_CHECKING:
    from segue.protocols.sip.message import Request, Response
    from segue.protocols.sip.transaction_client import ClientTransaction
    from segue.protocols.sip.transaction_server import ServerTransaction


class RequestReceived(NamedTuple):
    """A new request. `merged` is another transaction that is under way for the same request, which came by
    another branch (RFC 3261 section 8.2.2.2): the user decides between 482 and knowing it again."""

    transaction: ServerTransaction
    request: Request
    flow: Flow
    merged: ServerTransaction | None = None


class AckReceived(NamedTuple):
    """The ACK of a 2xx. Those of other responses end in their transaction."""

    request: Request
    flow: Flow


class ResponseReceived(NamedTuple):
    transaction: ClientTransaction
    response: Response
    flow: Flow


class CancelReceived(NamedTuple):
    """The client wants no answer to this INVITE any more, and it has no final one yet. The CANCEL itself has
    been answered (RFC 3261 section 9.2)."""

    transaction: ServerTransaction
    request: Request


class TimedOut(NamedTuple):
    """A client transaction without final response, or an INVITE server transaction without its ACK."""

    transaction: ClientTransaction | ServerTransaction


class FlowFailed(NamedTuple):
    """The flow of a transaction is gone. A client transaction has ended; a server transaction is still there
    and answers elsewhere after `TransactionLayer.move`."""

    transaction: ClientTransaction | ServerTransaction


class StrayResponse(NamedTuple):
    """A response to nothing we know: to be dropped (RFC 6026 section 7.2)."""

    response: Response
    flow: Flow


LayerEvent = (
    RequestReceived | AckReceived | ResponseReceived | CancelReceived | TimedOut | FlowFailed | StrayResponse
)


class Outbox:
    """What waits to be fetched, oldest first."""

    __slots__ = ("datagrams", "events")

    def __init__(self) -> None:
        self.datagrams: list[tuple[Flow, bytes]] = []
        self.events: list[LayerEvent] = []

    def send(self, flow: Flow, octets: bytes) -> None:
        self.datagrams.append((flow, octets))

    def tell(self, event: LayerEvent) -> None:
        self.events.append(event)
