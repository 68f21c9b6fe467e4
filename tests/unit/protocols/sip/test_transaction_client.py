"""Client transactions against RFC 3261 section 17.1 (figures 5 and 6), RFC 6026 section 8.4 and table 4."""

from __future__ import annotations

import pytest

from segue.base.address import Address
from segue.base.trace import MemoryTrace
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.message import Headers, Request, Response, response_to
from segue.protocols.sip.parser import parse_message
from segue.protocols.sip.transaction_client import ClientTransaction
from segue.protocols.sip.transaction_events import FlowFailed, ResponseReceived, StrayResponse, TimedOut
from segue.protocols.sip.transaction_layer import TransactionLayer
from segue.protocols.sip.transaction_states import State
from segue.testing.entropy import SeededEntropy

HERE, THERE = Address("192.0.2.1", 5060), Address("198.51.100.2", 5060)
UDP, TCP = Flow("UDP", HERE, THERE), Flow("TCP", HERE, THERE)


def request(method: str) -> Request:
    fields = [
        ("Max-Forwards", "70"),
        ("Route", "<sip:proxy.example.org;lr>"),
        ("From", "<sip:a@example.org>;tag=a1"),
        ("To", "<sip:b@example.org>"),
        ("Call-ID", "call"),
        ("CSeq", f"7 {method}"),
    ]
    return Request(method, "sip:b@example.org", Headers(fields))


class Client:
    """One client transaction and everything it sent, with times."""

    def __init__(self, method: str, flow: Flow = UDP) -> None:
        self.layer = TransactionLayer(SeededEntropy(), trace=MemoryTrace())
        self.flow = flow
        self.sent: list[tuple[float, Request]] = []
        self.events: list[object] = []
        self.now = 0.0
        self.transaction: ClientTransaction = self.layer.send_request(request(method), flow, 0.0)
        self.fetch()

    def fetch(self) -> None:
        for _, octets in self.layer.transmits():
            message = parse_message(octets)
            assert isinstance(message, Request)
            self.sent.append((self.now, message))
        self.events += self.layer.events()

    def run(self, until: float) -> None:
        while (due := self.layer.deadline()) is not None and due <= until:
            self.now = due
            self.layer.expire(due)
            self.fetch()
        self.now = until

    def hear(self, status: int, method: str | None = None, tag: str = "b1") -> None:
        response = response_to(self.transaction.request, status, to_tag=tag)
        if method is not None:
            response.headers.set("CSeq", f"7 {method}")
        self.layer.receive(response, self.flow, self.now)
        self.fetch()

    def times(self, method: str) -> list[float]:
        return [at for at, message in self.sent if message.method == method]

    def statuses(self) -> list[int]:
        return [event.response.status for event in self.events if isinstance(event, ResponseReceived)]


def test_invite_is_repeated_with_timer_a_until_timer_b():
    client = Client("INVITE")
    client.run(100)
    assert client.times("INVITE") == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert client.events == [TimedOut(client.transaction)]
    assert client.transaction.state is State.TERMINATED and len(client.layer) == 0
    copies = {message.to_bytes() for _, message in client.sent}
    assert len(copies) == 1


def test_request_is_repeated_with_timer_e_until_timer_f():
    client = Client("OPTIONS")
    client.run(100)
    assert client.times("OPTIONS") == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert client.events == [TimedOut(client.transaction)] and len(client.layer) == 0


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_a_stream_repeats_nothing_but_times_out(method):
    client = Client(method, TCP)
    client.run(31.9)
    assert client.times(method) == [0] and not client.events
    client.run(32)
    assert client.events == [TimedOut(client.transaction)] and len(client.layer) == 0


def test_provisional_response_stops_invite_and_its_timeout():
    client = Client("INVITE")
    client.run(1)
    client.hear(180)
    client.hear(183)
    client.run(1000)
    assert client.times("INVITE") == [0, 0.5]
    assert client.statuses() == [180, 183]
    assert client.transaction.state is State.PROCEEDING


def test_provisional_response_slows_a_request_to_t2():
    client = Client("OPTIONS")
    client.run(0.1)
    client.hear(100)
    client.run(100)
    # Timer E was already armed for 0.5 s; from then on every T2 (section 17.1.2.2).
    assert client.times("OPTIONS") == [0, 0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5]
    assert client.events[-1] == TimedOut(client.transaction)


def test_failure_is_acknowledged_each_time_it_comes():
    client = Client("INVITE")
    client.hear(180)
    client.hear(486)
    client.run(1)
    client.hear(486)
    invite = client.transaction.request
    acks = [message for _, message in client.sent if message.method == "ACK"]
    assert len(acks) == 2 and acks[0].to_bytes() == acks[1].to_bytes()
    ack = acks[0]
    assert ack.uri == invite.uri and ack.headers.get_all("Via") == invite.headers.get_all("Via")[:1]
    assert ack.to.tag == "b1" and str(ack.cseq) == "7 ACK" and ack.headers.get_all("Route")
    assert client.statuses() == [180, 486]  # the copy is not told again
    client.run(31.9)
    assert client.transaction.state is State.COMPLETED
    client.run(32)
    assert len(client.layer) == 0  # timer D


def test_no_timer_d_over_a_stream():
    client = Client("INVITE", TCP)
    client.hear(486)
    assert client.times("ACK") == [0] and client.statuses() == [486] and len(client.layer) == 0


def test_every_2xx_goes_to_the_user_until_timer_m():
    client = Client("INVITE")
    client.hear(200, tag="b1")
    client.run(10)
    client.hear(200, tag="b2")
    client.hear(180)
    client.hear(486)
    assert client.statuses() == [200, 200] and not client.times("ACK")
    assert client.transaction.state is State.ACCEPTED
    client.run(32)
    assert len(client.layer) == 0
    client.hear(200)
    assert isinstance(client.events[-1], StrayResponse)


@pytest.mark.parametrize("flow,lingers", [(UDP, 5.0), (TCP, 0.0)])
def test_timer_k_absorbs_copies_of_the_answer(flow, lingers):
    client = Client("OPTIONS", flow)
    client.hear(200)
    assert len(client.layer) == (1 if lingers else 0)
    if lingers:
        client.hear(200)
        client.run(lingers)
    assert client.statuses() == [200] and len(client.layer) == 0


def test_responses_are_matched_by_branch_method_and_sent_by():
    client = Client("INVITE")
    client.hear(200, method="CANCEL")  # the same branch, another transaction
    other = response_to(client.transaction.request, 200, to_tag="b1")
    other.headers.set("Via", (other.headers.get("Via") or "").replace("192.0.2.1", "192.0.2.99"))
    client.layer.receive(other, UDP, 0.0)
    client.fetch()
    assert [type(event) for event in client.events] == [StrayResponse, StrayResponse]
    assert client.transaction.state is State.CALLING


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_a_broken_flow_is_told_at_once(method):
    client = Client(method, TCP)
    client.layer.flow_failed(UDP, 1.0)
    client.fetch()
    assert client.events == []
    client.layer.flow_failed(TCP, 1.0)
    client.fetch()
    assert client.events == [FlowFailed(client.transaction)] and len(client.layer) == 0


def test_a_broken_flow_says_nothing_of_what_is_answered():
    client = Client("INVITE", TCP)
    client.hear(200)
    client.layer.flow_failed(TCP, 1.0)
    client.fetch()
    assert client.statuses() == [200] and len(client.events) == 1


# CANCEL, section 9.1


def test_cancel_waits_for_a_provisional_response():
    client = Client("INVITE")
    client.layer.cancel(client.transaction, 0.0, reason="SIP;cause=200")
    client.run(1)
    assert client.times("CANCEL") == []
    client.hear(100)
    cancel = next(message for _, message in client.sent if message.method == "CANCEL")
    invite = client.transaction.request
    assert cancel.headers.get_all("Via") == invite.headers.get_all("Via")[:1]
    assert cancel.headers.get_all("Route") == invite.headers.get_all("Route")
    assert str(cancel.cseq) == "7 CANCEL" and cancel.to.tag is None
    assert cancel.headers.get("Reason") == "SIP;cause=200"
    client.hear(487)
    assert client.times("ACK") == [1.0]


def test_cancel_after_the_final_response_sends_nothing():
    client = Client("INVITE")
    client.hear(200)
    client.layer.cancel(client.transaction, 0.0)
    client.fetch()
    assert client.times("CANCEL") == []


def test_a_final_response_comes_before_the_cancel_could_go():
    client = Client("INVITE")
    client.layer.cancel(client.transaction, 0.0)
    client.hear(486)
    assert client.times("CANCEL") == []


def test_a_cancelled_invite_that_is_never_answered_is_given_up():
    client = Client("INVITE")
    client.hear(180)
    client.run(5)
    client.layer.cancel(client.transaction, 5.0)
    client.fetch()
    client.run(36.9)
    assert client.transaction.pending
    client.run(37)
    assert TimedOut(client.transaction) in client.events
    client.run(100)
    assert len(client.layer) == 0


# Moves


def test_resend_goes_by_the_new_flow_with_a_new_branch():
    client = Client("OPTIONS")
    other = Flow("UDP", Address("192.0.2.77", 5060), THERE)
    anew = client.layer.resend(client.transaction, other, 0.1)
    flows = client.layer.transmits()
    assert [flow for flow, _ in flows] == [other] and anew.branch != client.transaction.branch
    client.run(3)
    late = response_to(client.transaction.request, 200, to_tag="b1")
    client.layer.receive(late, UDP, 3.0)
    client.fetch()
    assert client.statuses() == [200]  # should the first one be answered after all
    assert all(message.via.branch == anew.branch for _, message in client.sent[1:])
    assert all(len(message.vias) == 1 for _, message in client.sent)


def test_a_response_with_a_bad_status_line_or_header_leaves_the_layer_alive():
    client = Client("INVITE")
    for name, value in (("CSeq", "x INVITE"), ("Via", "nonsense"), ("CSeq", "")):
        bad: Response = response_to(client.transaction.request, 200, to_tag="b1")
        bad.headers.set(name, value)
        client.layer.receive(bad, UDP, 0.0)
    client.fetch()
    assert client.statuses() == [] and client.transaction.state is State.CALLING


def test_a_large_request_is_written_in_compact_form_over_datagrams():
    layer = TransactionLayer(SeededEntropy())
    large = request("OPTIONS")
    large.body = b"x" * 1290
    layer.send_request(large.copy(), UDP, 0.0)
    layer.send_request(large.copy(), TCP, 0.0)
    octets = {flow: octets for flow, octets in layer.transmits()}
    assert b"\r\ni: call\r\n" in octets[UDP] and b"\r\nCall-ID: call\r\n" in octets[TCP]
