"""What an INVITE session tells its user. Exactly one of Refused, Redirected and Ended is the last word."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from segue.protocols.sip.dialog import Dialog
from segue.protocols.sip.message import Request, Response

if TYPE_CHECKING:
    from segue.protocols.sip.session_core import Outgoing


class By(Enum):
    """Who ended a session."""

    US = "us"
    PEER = "peer"
    NETWORK = "network"


class Trying(NamedTuple):
    """The next server has our INVITE."""


class Ringing(NamedTuple):
    """180. `dialog` is one of several when a proxy forked."""

    response: Response
    dialog: Dialog


class Progress(NamedTuple):
    """181, 182, 183 or another provisional response."""

    response: Response
    dialog: Dialog


class EarlyDialogEnded(NamedTuple):
    """One branch of a forked call is over (199, RFC 6228), or another one was answered."""

    dialog: Dialog


class OfferReceived(NamedTuple):
    """The peer's offer, to be answered. `method` is what brought it: "INVITE" (of a call that is not accepted
    yet: answer with `accept`, `ring` or `progress`; else with `answer_offer`), "UPDATE", "PRACK", or "1xx" and
    "2xx" for responses to an INVITE of ours without offer. `again`: the same call came anew, because its caller
    has moved; whatever was offered or answered before is void."""

    body: bytes
    content_type: str
    method: str
    dialog: Dialog
    again: bool = False


class OfferRequested(NamedTuple):
    """A re-INVITE without offer: the answer has to make one (`answer_offer` sends it)."""

    dialog: Dialog


class OfferCrossed(NamedTuple):
    """The peer's offer, which was refused because another exchange is under way (491 or 500), and comes again. It
    must not be answered; but where it says that the peer is now, the peer listens (RFC 3264 section 5.1)."""

    body: bytes
    content_type: str
    dialog: Dialog


class OfferWithdrawn(NamedTuple):
    """The peer's offer, or its wish for one, needs no answer any more."""

    dialog: Dialog


class AnswerReceived(NamedTuple):
    """The answer to our offer. Not `final`: a preview in an unreliable response (RFC 6337 section 3.1.1); the
    same comes again in a reliable one."""

    body: bytes
    content_type: str
    dialog: Dialog
    final: bool = True


class Established(NamedTuple):
    """The 2xx of the call has its ACK (sent or received)."""

    dialog: Dialog


class Refused(NamedTuple):
    """The call was not set up; `response` is missing when nobody answered (408) or nothing could be sent (503)."""

    status: int
    reason: str
    response: Response | None


class Redirected(NamedTuple):
    """3xx: the call may be placed at one of `contacts`, in a session of its own."""

    contacts: list[str]
    response: Response


class Modified(NamedTuple):
    """Our re-INVITE or UPDATE was accepted."""

    method: str
    moved: bool


class ReofferRefused(NamedTuple):
    """Our re-INVITE or UPDATE changed nothing and the session goes on as it was. `moved`: it was to tell the
    peer of a move, so the peer may not know our new address. Status 408 or 503 without response: nobody
    answered, or nothing could be sent."""

    status: int
    reason: str
    response: Response | None
    moved: bool


class Glare(NamedTuple):
    """Both sides wanted to change the session at once, or the peer was busy with a change: ours comes again in
    `wait` seconds."""

    wait: float


class OfferWanted(NamedTuple):
    """A change that we want can go now: make the offer for it, and give it with `offer` before anything else comes
    in. What was offered before has its answer, or none will come."""


class TargetChanged(NamedTuple):
    """The peer has a new Contact, or its first one is not where the INVITE went. Whoever sends straight to
    `dialog.next_hop`, without a proxy of his own, has to follow with the flow (`change_flow`)."""

    dialog: Dialog


class CandidatesWanted(NamedTuple):
    """The peer may be sent candidates in this dialog now, and waits to hear that we have its response (RFC 8840
    section 4.3): give all there are with `send_candidates`, and those that are found later. Once for each dialog."""

    dialog: Dialog


class CandidatesReceived(NamedTuple):
    """INFO of package "trickle-ice" came and was answered. `body` is `application/trickle-ice-sdpfrag`, with all
    candidates of the peer's so far."""

    body: bytes
    dialog: Dialog


class MessageInDialog(NamedTuple):
    """INFO, OPTIONS, NOTIFY, MESSAGE, REFER …: to be answered with `respond`."""

    request: Request
    dialog: Dialog
    key: tuple[int, str]


class ResponseInDialog(NamedTuple):
    """The final response to a request sent with `send`; status 408 or 503 without response as above."""

    method: str
    status: int
    response: Response | None


class AuthenticationNeeded(NamedTuple):
    """401 or 407: send again with `retry_with`, or `give_up`."""

    request: Request
    response: Response
    outgoing: Outgoing


class SignallingLost(NamedTuple):
    """The flow is gone while a request was under way. It is sent again after `change_flow` or `move`; without
    that it counts as unanswered after 64*T1."""

    method: str


class Ended(NamedTuple):
    """The session is over. `status`: of the response that ended it, 0 for none; `reason`: what was said about
    it (a Reason header field's value, or a phrase)."""

    by: By
    status: int
    reason: str


SessionEvent = (
    Trying
    | Ringing
    | Progress
    | EarlyDialogEnded
    | OfferReceived
    | OfferRequested
    | OfferCrossed
    | OfferWithdrawn
    | AnswerReceived
    | Established
    | Refused
    | Redirected
    | Modified
    | ReofferRefused
    | Glare
    | OfferWanted
    | TargetChanged
    | CandidatesWanted
    | CandidatesReceived
    | MessageInDialog
    | ResponseInDialog
    | AuthenticationNeeded
    | SignallingLost
    | Ended
)
