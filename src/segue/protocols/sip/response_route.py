"""Where a response goes: the top Via with `received` and `rport` (RFC 3261 section 18.2, RFC 3581 section 4)."""

from __future__ import annotations

from contextlib import suppress

from segue.base.address import Address
from segue.base.errors import RemoteError
from segue.protocols.sip.field_values import Via
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.message import Request, Response, response_to

DEFAULT_PORTS = {"UDP": 5060, "TCP": 5060, "TLS": 5061}


def stamp_via(request: Request, flow: Flow) -> Via:
    """Note in the top Via where the request really came from; returns that Via. Raises SipSyntaxError.

    `received` is written whenever the sender asked for rport (RFC 3581 section 4) or named another host.
    """
    via = request.via
    asked = "rport" in via.params
    host = flow.remote.host
    if not asked and via.host == host:
        return via
    via.params["received"] = host
    if asked:
        via.params["rport"] = str(flow.remote.port)
    request.headers.replace_first("Via", str(via))
    return via


def sent_by_of(via: Via) -> str:
    """Host and port of the sent-by, in one spelling, for comparison."""
    port = via.port if via.port is not None else DEFAULT_PORTS.get(via.transport, 5060)
    return f"{via.host}:{port}"


def reply_flow(via: Via, flow: Flow) -> Flow:
    """The flow for responses to a request that came on `flow` with this (stamped) Via.

    A stream's response goes back on its connection. A datagram's goes to the source address; its port is the
    source's with rport, else the sent-by's (section 18.2.2). `maddr` is not followed: it would let a sender
    direct our responses at others.
    """
    if flow.reliable or "rport" in via.params:
        return flow
    port = via.port if via.port is not None else 5060
    return flow if port == flow.remote.port else flow._replace(remote=Address(flow.remote.host, port))


def refusal(request: Request, status: int, flow: Flow, to_tag: str) -> tuple[Response, Flow]:
    """The answer to a request that is not fit for a transaction, and where it goes (sections 8.2 and 16.3).

    Raises RemoteError for one that cannot even be answered."""
    if "Via" not in request.headers:
        raise RemoteError("a request without Via")
    answers = flow
    with suppress(
        RemoteError
    ):  # a Via of no version of ours (RFC 4475 section 3.1.2.16): back where it came from
        answers = reply_flow(stamp_via(request, flow), flow)
    return response_to(request, status, to_tag=to_tag), answers
