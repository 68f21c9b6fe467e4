"""Server transactions against RFC 3261 section 17.2 (figures 7 and 8), RFC 6026 section 7.1 and RFC 4320."""

from __future__ import annotations

import pytest

from segue.base.address import Address
from segue.base.trace import MemoryTrace
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.message import Headers, Request, Response, response_to
from segue.protocols.sip.parser import parse_message
from segue.protocols.sip.transaction_events import (
    AckReceived,
    CancelReceived,
    FlowFailed,
    RequestReceived,
    TimedOut,
)
from segue.protocols.sip.transaction_layer import TransactionLayer
from segue.protocols.sip.transaction_server import ServerTransaction
from segue.protocols.sip.transaction_states import State
from segue.testing.entropy import SeededEntropy

HERE, THERE = Address("198.51.100.2", 5060), Address("192.0.2.1", 5060)
UDP, TCP = Flow("UDP", HERE, THERE), Flow("TCP", HERE, THERE)


def request(
    method: str,
    *,
    branch: str = "z9hG4bKone",
    sent_by: str = "192.0.2.1:5060",
    cseq: str | None = None,
    to_tag: str = "",
    call_id: str = "call",
    rport: bool = True,
) -> Request:
    via = f"SIP/2.0/UDP {sent_by}{';rport' if rport else ''}" + (f";branch={branch}" if branch else "")
    fields = [
        ("Via", via),
        ("Max-Forwards", "70"),
        ("From", "<sip:a@example.org>;tag=a1"),
        ("To", "<sip:b@example.org>" + (f";tag={to_tag}" if to_tag else "")),
        ("Call-ID", call_id),
        ("CSeq", cseq or f"7 {method}"),
    ]
    return Request(method, "sip:b@example.org", Headers(fields))


class Server:
    """A layer that was sent requests, and what it answered, with times."""

    def __init__(self, flow: Flow = UDP, limit: int = 1000) -> None:
        self.trace = MemoryTrace()
        self.layer = TransactionLayer(SeededEntropy(), trace=self.trace, limit=limit)
        self.flow = flow
        self.sent: list[tuple[float, Flow, Response]] = []
        self.events: list[object] = []
        self.now = 0.0

    def fetch(self) -> None:
        for flow, octets in self.layer.transmits():
            message = parse_message(octets)
            assert isinstance(message, Response)
            self.sent.append((self.now, flow, message))
        self.events += self.layer.events()

    def hear(self, message: Request, flow: Flow | None = None) -> None:
        self.layer.receive(message, flow or self.flow, self.now)
        self.fetch()

    def run(self, until: float) -> None:
        while (due := self.layer.deadline()) is not None and due <= until:
            self.now = due
            self.layer.expire(due)
            self.fetch()
        self.now = until

    def requests(self) -> list[RequestReceived]:
        return [event for event in self.events if isinstance(event, RequestReceived)]

    @property
    def transaction(self) -> ServerTransaction:
        return self.requests()[-1].transaction

    def say(self, status: int, transaction: ServerTransaction | None = None) -> bool:
        transaction = transaction or self.transaction
        asked = next(e.request for e in self.requests() if e.transaction is transaction)
        sent = self.layer.respond(transaction, response_to(asked, status, to_tag="b1"), self.now)
        self.fetch()
        return sent

    def statuses(self) -> list[int]:
        return [response.status for _, _, response in self.sent]

    def times(self, status: int) -> list[float]:
        return [at for at, _, response in self.sent if response.status == status]


# INVITE


def test_trying_after_200_ms_unless_the_user_was_faster():
    server = Server()
    server.hear(request("INVITE"))
    server.run(10)
    assert [(at, r.status) for at, _, r in server.sent] == [(0.2, 100)]
    assert server.sent[0][2].to.tag is None
    fast = Server()
    fast.hear(request("INVITE"))
    fast.say(180)
    fast.run(10)
    assert fast.statuses() == [180]


def test_a_copy_gets_the_last_provisional_response_and_is_no_new_request():
    server = Server()
    server.hear(request("INVITE"))
    server.hear(request("INVITE"))
    assert server.statuses() == []
    server.say(180)
    server.say(183)
    server.hear(request("INVITE"))
    assert server.statuses() == [180, 183, 183] and len(server.requests()) == 1


def test_failure_is_repeated_with_timer_g_until_timer_h():
    server = Server()
    server.hear(request("INVITE"))
    server.say(486)
    server.run(100)
    assert server.times(486) == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert server.events[-1] == TimedOut(server.transaction) and len(server.layer) == 0


def test_ack_of_a_failure_ends_in_the_transaction():
    server = Server()
    server.hear(request("INVITE"))
    server.say(486)
    server.hear(request("ACK", cseq="7 ACK", to_tag="b1"))
    server.hear(request("INVITE"))  # a copy that was late: absorbed
    server.hear(request("ACK", cseq="7 ACK", to_tag="b1"))
    assert server.transaction.state is State.CONFIRMED
    server.run(4.9)
    assert server.statuses() == [486] and len(server.layer) == 1
    server.run(5)  # timer I
    assert len(server.layer) == 0 and len(server.events) == 1


def test_a_stream_needs_neither_timer_g_nor_timer_i():
    server = Server(TCP)
    server.hear(request("INVITE"))
    server.say(486)
    server.run(20)
    assert server.statuses() == [486]
    server.hear(request("ACK", cseq="7 ACK", to_tag="b1"))
    assert len(server.layer) == 0


def test_timer_h_runs_over_a_stream_too():
    server = Server(TCP)
    server.hear(request("INVITE"))
    server.say(486)
    server.run(32)
    assert server.events[-1] == TimedOut(server.transaction) and len(server.layer) == 0


def test_accepted_state_absorbs_the_invite_and_passes_the_ack_on():
    server = Server()
    server.hear(request("INVITE"))
    server.say(200)
    server.hear(request("INVITE"))
    server.run(1)
    assert server.statuses() == [200]  # the user repeats it, not the transaction (RFC 6026 section 7.1)
    assert server.layer.repeat(server.transaction)
    server.fetch()
    assert server.statuses() == [200, 200]
    ack = request("ACK", branch="z9hG4bKother", cseq="7 ACK", to_tag="b1")
    server.hear(ack)
    assert server.events[-1] == AckReceived(ack, UDP)
    assert not server.say(180) and not server.say(486) and server.say(200)
    server.run(31.9)
    assert server.transaction.state is State.ACCEPTED
    server.run(32)  # timer L
    assert len(server.layer) == 0 and not server.layer.repeat(server.transaction)


def test_ack_on_the_branch_of_the_invite_is_passed_on_when_accepted():
    server = Server()
    server.hear(request("INVITE"))
    server.say(200)
    server.hear(request("ACK", cseq="7 ACK", to_tag="b1"))
    assert isinstance(server.events[-1], AckReceived)


def test_nothing_but_one_final_response():
    server = Server()
    server.hear(request("INVITE"))
    assert server.say(486) and not server.say(200) and not server.say(180)
    assert server.statuses() == [486]
    assert server.trace.drops["transaction", "response not allowed now"] == 2


def test_a_broken_flow_keeps_the_invite_and_answers_elsewhere():
    server = Server(TCP)
    server.hear(request("INVITE"))
    server.say(180)
    server.layer.flow_failed(TCP, 1.0)
    server.fetch()
    transaction = server.transaction
    assert server.events[-1] == FlowFailed(transaction) and transaction.pending
    other = Flow("TCP", Address("203.0.113.9", 5060), THERE)
    server.layer.move(transaction, other)
    server.say(200)
    assert [flow for _, flow, _ in server.sent] == [TCP, other]


# Others


def test_request_gets_its_final_response_once_and_again_for_copies():
    server = Server()
    server.hear(request("OPTIONS"))
    server.hear(request("OPTIONS"))
    assert server.statuses() == []
    server.say(200)
    server.hear(request("OPTIONS"))
    assert server.statuses() == [200, 200] and len(server.requests()) == 1
    assert not server.say(404)
    server.run(31.9)
    assert len(server.layer) == 1
    server.run(32)  # timer J
    assert len(server.layer) == 0


def test_no_timer_j_over_a_stream():
    server = Server(TCP)
    server.hear(request("OPTIONS"))
    server.say(200)
    assert len(server.layer) == 0


def test_a_slow_user_gets_a_100_sent_when_timer_e_has_reached_t2():
    server = Server()
    server.hear(request("OPTIONS"))
    assert not server.say(100) and not server.say(180)
    server.run(3.4)
    assert server.statuses() == []
    server.run(20)
    assert server.times(100) == [3.5]  # 0.5 + 1 + 2 (RFC 4320 section 4.1)
    server.run(32)
    assert len(server.layer) == 0 and not server.say(200)  # too late (section 4.2)


def test_never_408_to_a_request_that_is_no_invite():
    server = Server()
    server.hear(request("OPTIONS"))
    assert not server.say(408)
    assert server.statuses() == [] and len(server.layer) == 0


# CANCEL, section 9.2


def test_cancel_is_answered_and_told_once():
    server = Server()
    server.hear(request("INVITE"))
    server.say(180)
    cancel = request("CANCEL", cseq="7 CANCEL")
    server.hear(cancel)
    server.hear(request("CANCEL", cseq="7 CANCEL"))
    told = [event for event in server.events if isinstance(event, CancelReceived)]
    assert told == [CancelReceived(server.transaction, cancel)]
    assert server.statuses() == [180, 200, 200]
    tags = {response.to.tag for _, _, response in server.sent}
    assert tags == {"b1"}  # the same as in the responses to the INVITE
    assert server.say(487)


def test_cancel_before_any_response_has_the_tag_of_later_ones():
    server = Server()
    server.hear(request("INVITE"))
    server.hear(request("CANCEL", cseq="7 CANCEL"))
    assert server.sent[0][2].to.tag == server.transaction.to_tag != ""


def test_cancel_after_the_final_response_changes_nothing():
    server = Server()
    server.hear(request("INVITE"))
    server.say(200)
    server.hear(request("CANCEL", cseq="7 CANCEL"))
    assert server.statuses() == [200, 200]
    assert not any(isinstance(event, CancelReceived) for event in server.events)


def test_cancel_of_nothing_is_481():
    server = Server()
    server.hear(request("CANCEL", cseq="7 CANCEL"))
    server.hear(request("INVITE", branch="z9hG4bKtwo"))
    server.hear(request("CANCEL", cseq="8 CANCEL", branch="z9hG4bKthree"))
    assert server.statuses() == [481, 481]


# Matching, section 17.2.3


def test_another_sent_by_or_method_is_another_transaction():
    server = Server()
    server.hear(request("OPTIONS"))
    server.hear(request("OPTIONS", sent_by="192.0.2.9:5060", call_id="x"))
    server.hear(request("OPTIONS", sent_by="192.0.2.1", call_id="y"))  # the default port is the same sent-by
    server.hear(request("INFO"))
    assert [event.request.method for event in server.requests()] == ["OPTIONS", "OPTIONS", "INFO"]


@pytest.mark.parametrize("branch", ["", "1", "old-style"])
def test_rfc_2543_requests_are_matched_by_their_fields(branch):
    server = Server()
    server.hear(request("INVITE", branch=branch))
    server.hear(request("INVITE", branch=branch))
    assert len(server.requests()) == 1
    server.say(486)
    wrong = request("ACK", branch=branch, cseq="7 ACK", to_tag="other")
    server.hear(wrong)
    assert server.transaction.state is State.COMPLETED
    server.hear(request("ACK", branch=branch, cseq="7 ACK", to_tag="b1"))
    assert server.transaction.state is State.CONFIRMED
    server.hear(request("INVITE", branch=branch, cseq="8 INVITE"))
    assert len(server.requests()) == 2


def test_rfc_2543_cancel_finds_its_invite():
    server = Server()
    server.hear(request("INVITE", branch=""))
    server.hear(request("CANCEL", branch="", cseq="7 CANCEL"))
    assert isinstance(server.events[-1], CancelReceived) and server.statuses() == [200]


# Merged, refused, malformed


def test_the_same_request_by_another_branch_is_told_as_merged():
    server = Server()
    server.hear(request("INVITE"))
    first = server.transaction
    server.hear(request("INVITE", branch="z9hG4bKtwo"))
    assert [event.merged for event in server.requests()] == [None, first]
    server.hear(request("INVITE", branch="z9hG4bKthree", cseq="8 INVITE"))
    server.hear(request("INVITE", branch="z9hG4bKfour", to_tag="b1"))  # in a dialog: never merged
    assert [event.merged for event in server.requests()[2:]] == [None, None]


def test_a_registration_is_never_merged():
    server = Server()
    server.hear(request("REGISTER"))
    server.hear(request("REGISTER", branch="z9hG4bKtwo"))
    assert [event.merged for event in server.requests()] == [None, None]


def test_beyond_the_limit_503_and_nothing_kept():
    server = Server(limit=3)
    for number in range(5):
        server.hear(request("OPTIONS", branch=f"z9hG4bK{number}", call_id=str(number)))
    assert len(server.requests()) == 3 and len(server.layer) == 3
    assert server.statuses() == [503, 503]
    wait = int(server.sent[0][2].headers.get("Retry-After") or "0")
    assert 5 <= wait < 15
    server.hear(request("ACK", branch="z9hG4bK3", cseq="7 ACK"))
    assert isinstance(server.events[-1], AckReceived)  # harmless: the user knows no such dialog


def test_cseq_of_another_method_is_400():
    server = Server()
    server.hear(request("OPTIONS", cseq="7 INVITE"))
    assert server.statuses() == [400] and server.events == []


@pytest.mark.parametrize("name", ["From", "To", "Call-ID", "CSeq", "Via"])
@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "ACK", "CANCEL", "REGISTER"])
@pytest.mark.parametrize("branch", ["z9hG4bKone", ""])
def test_a_request_without_a_mandatory_field_leaves_the_layer_alive(name, method, branch):
    server = Server()
    bad = request(method, branch=branch)
    bad.headers.remove(name)
    server.hear(bad)
    assert len(server.layer) == 0
    server.hear(request("OPTIONS", branch="z9hG4bKgood"))
    assert len(server.requests()) == 1


# Where responses go, section 18.2 and RFC 3581


def test_response_goes_to_the_source_when_rport_is_there():
    behind_nat = Flow("UDP", HERE, Address("203.0.113.5", 40_000))
    server = Server(behind_nat)
    server.hear(request("OPTIONS", sent_by="10.0.0.1:5060"))
    server.say(200)
    _, flow, response = server.sent[0]
    assert flow == behind_nat and response.via.received == "203.0.113.5" and response.via.rport == 40_000


def test_response_goes_to_the_port_of_sent_by_without_rport():
    server = Server(Flow("UDP", HERE, Address("192.0.2.1", 40_000)))
    server.hear(request("OPTIONS", rport=False))
    server.say(200)
    assert server.sent[0][1].remote == THERE
