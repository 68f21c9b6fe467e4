"""Which signalling flows exist, and what happens when they fail."""

from segue.base.address import Address
from segue.call.flows import (
    BACKOFF_LIMIT,
    PROBE_WITHIN,
    SILENT,
    STUN_WAITS,
    CloseWanted,
    FlowDown,
    FlowEvent,
    Flows,
    FlowUp,
    LocateWanted,
    OpenWanted,
    Origin,
    PingWanted,
    Probed,
    Server,
)
from segue.protocols.sip.flow import Flow
from segue.testing import SeededEntropy

OFFICE = Origin("wlan0", "2001:db8:1::10")
CELL = Origin("wwan0", "2001:db8:3::10")
FIRST = Server("TLS", Address("2001:db8:9::1", 5061), "example.org")
SECOND = Server("TLS", Address("2001:db8:9::2", 5061), "example.org")
LEGACY = Server("TLS", Address("192.0.2.1", 5061), "example.org")


def flow_to(server: Server, origin: Origin, serial: int = 1) -> Flow:
    local = Address(origin.host, 40000)
    return Flow(server.transport, local, server.address, origin.interface, serial, server.name)


def opens(events: list[FlowEvent]) -> list[Server]:
    return [event.server for event in events if isinstance(event, OpenWanted)]


def up(flows: Flows, origin: Origin, server: Server = FIRST, now: float = 0.0) -> Flow:
    flow = flow_to(server, origin)
    flows.opened(origin, flow, now)
    return flow


def test_dns_is_asked_first_when_nothing_is_known() -> None:
    flows = Flows(SeededEntropy())
    flows.want(OFFICE, 0.0)
    assert flows.events() == [LocateWanted(OFFICE)]
    flows.located(OFFICE, [LEGACY, FIRST, SECOND], 0.1)
    assert opens(flows.events()) == [FIRST]


def test_after_a_move_the_last_good_server_is_tried_at_once_with_dns_beside() -> None:
    flows = Flows(SeededEntropy())
    flows.want(OFFICE, 0.0)
    flows.located(OFFICE, [FIRST, SECOND], 0.0)
    flows.failed(OFFICE, None, "refused", 0.1)
    up(flows, OFFICE, SECOND)
    flows.events()
    flows.want(CELL, 1.0)
    assert flows.events() == [LocateWanted(CELL), OpenWanted(CELL, SECOND)]


def test_the_next_server_is_tried_when_one_fails_and_then_there_is_a_growing_pause() -> None:
    flows = Flows(SeededEntropy())
    flows.want(OFFICE, 0.0)
    flows.located(OFFICE, [FIRST, SECOND], 0.0)
    flows.failed(OFFICE, None, "refused", 0.0)
    assert opens(flows.events()) == [FIRST, SECOND]
    pauses = []
    now = 0.0
    flows.failed(OFFICE, None, "refused", now)
    for _ in range(12):
        down = [event for event in flows.events() if isinstance(event, FlowDown)]
        assert down[-1].retry_in is not None
        pauses.append(down[-1].retry_in)
        due = flows.deadline()
        assert due is not None
        now = due
        flows.expire(now)
        for _ in range(2):
            flows.failed(OFFICE, None, "refused", now)
    assert pauses[0] <= 0.5
    assert max(pauses) <= BACKOFF_LIMIT
    assert pauses[-1] >= BACKOFF_LIMIT / 2


def test_a_broken_flow_is_opened_again_at_once() -> None:
    flows = Flows(SeededEntropy())
    flows.want(OFFICE, 0.0)
    flows.located(OFFICE, [FIRST, SECOND], 0.0)
    flow = up(flows, OFFICE)
    flows.events()
    flows.failed(OFFICE, flow, "reset by peer", 9.0)
    events = flows.events()
    assert isinstance(events[0], FlowDown)
    assert opens(events) == [FIRST]


def test_a_flow_is_kept_alive_and_a_silent_server_is_noticed() -> None:
    flows = Flows(SeededEntropy())
    flows.want(OFFICE, 0.0)
    flows.located(OFFICE, [FIRST], 0.0)
    flow = up(flows, OFFICE)
    flows.events()
    ping = flows.deadline()
    assert ping is not None
    assert 95 <= ping <= 120
    flows.expire(ping)
    assert flows.events() == [PingWanted(flow)]
    flows.pong(flow, 0.13)
    again = flows.deadline()
    assert again is not None
    flows.expire(again)
    flows.expire(again + 11)
    assert [type(event) for event in flows.events()] == [PingWanted, CloseWanted, FlowDown, OpenWanted]


def test_a_dropped_origin_closes_its_flow_and_a_late_connection_is_closed() -> None:
    flows = Flows(SeededEntropy())
    flows.want(OFFICE, 0.0)
    flows.located(OFFICE, [FIRST], 0.0)
    flow = up(flows, OFFICE)
    flows.events()
    flows.drop(OFFICE)
    assert flows.events() == [CloseWanted(flow)]
    late = flow_to(FIRST, OFFICE, serial=2)
    flows.opened(OFFICE, late, 5.0)
    assert flows.events() == [CloseWanted(late)]


def test_a_name_that_dns_does_not_know_is_said_and_asked_again() -> None:
    flows = Flows(SeededEntropy())
    flows.want(OFFICE, 0.0)
    flows.located(OFFICE, [], 0.1)
    down = flows.events()[-1]
    assert isinstance(down, FlowDown)
    assert "DNS" in down.problem
    due = flows.deadline()
    assert due is not None
    flows.expire(due)
    assert LocateWanted(OFFICE) in flows.events()


def test_up_is_reported_with_its_origin() -> None:
    flows = Flows(SeededEntropy())
    flows.want(OFFICE, 0.0)
    flows.located(OFFICE, [FIRST], 0.0)
    flow = up(flows, OFFICE)
    assert FlowUp(OFFICE, flow) in flows.events()
    assert flows.flow(OFFICE) == flow


# Datagrams: nothing but an answer tells that a server is there

OVER_UDP = Server("UDP", Address("2001:db8:9::1", 5060), "example.org")
NEXT_UDP = Server("UDP", Address("2001:db8:9::2", 5060), "example.org")
MAPPED = Address("203.0.113.9", 6000)


def over_udp(*servers: Server, heard: bool = True) -> tuple[Flows, Flow]:
    flows = Flows(SeededEntropy())
    flows.want(OFFICE, 0.0)
    flows.located(OFFICE, list(servers), 0.0)
    flow = up(flows, OFFICE, servers[0])
    if heard:
        flows.heard(flow, 0.1)
    flows.events()
    return flows, flow


def stun(flows: Flows) -> list[bytes]:
    return [event.transaction for event in flows.events() if isinstance(event, PingWanted)]


def test_crlf_keeps_a_datagram_flow_until_the_registrar_knows_outbound() -> None:
    """RFC 5626 section 8: no STUN to a server that has not said that it takes it."""
    flows, flow = over_udp(OVER_UDP)
    for at in (30.0, 60.0):
        flows.expire(at)
    assert stun(flows) == [b"", b""]
    flows.supports_outbound(flow, None, 60.0)
    flows.expire(90.0)
    assert len(stun(flows)[0]) == 12


def test_stun_is_repeated_and_a_silent_server_is_noticed() -> None:
    flows, flow = over_udp(OVER_UDP, NEXT_UDP)
    flows.supports_outbound(flow, 25, 0.0)
    begin = flows.deadline()
    assert begin is not None and 0.8 * 25 <= begin <= 25
    sent: list[bytes] = []
    while flows.flow(OFFICE) == flow and (at := flows.deadline()) is not None:
        flows.expire(at - 0.001)  # others' deadlines come between
        flows.expire(at)
        events = flows.events()
        sent += [event.transaction for event in events if isinstance(event, PingWanted)]
    assert len(sent) == 7 and len(set(sent)) == 1
    assert at == begin + sum(STUN_WAITS)
    assert [type(event) for event in events] == [CloseWanted, FlowDown, OpenWanted]
    assert opens(events) == [NEXT_UDP]


def test_a_nat_that_forgets_us_is_a_failure_of_the_flow() -> None:
    flows, flow = over_udp(OVER_UDP)
    flows.supports_outbound(flow, None, 0.0)
    for at, mapped in ((30.0, MAPPED), (60.0, MAPPED)):
        flows.expire(at)
        (transaction,) = stun(flows)
        flows.bound(flow, b"x" * 12, Address("203.0.113.9", 1), at)  # of nobody's request
        flows.bound(flow, transaction, mapped, at)
        assert flows.events() == []
    flows.expire(90.0)
    flows.bound(flow, stun(flows)[0], MAPPED._replace(port=6001), 90.1)
    down, opened = flows.events()
    assert isinstance(down, FlowDown) and "6001" in down.problem
    assert isinstance(opened, OpenWanted) and opened.server == OVER_UDP


def test_a_server_that_is_never_heard_is_left_for_the_next_and_then_there_is_a_pause() -> None:
    flows, flow = over_udp(OVER_UDP, NEXT_UDP, heard=False)
    flows.give_up(flow, "no answer", SILENT)
    closed, _, opened = flows.events()
    assert closed == CloseWanted(flow) and opened == OpenWanted(OFFICE, NEXT_UDP)
    second = up(flows, OFFICE, NEXT_UDP, SILENT)
    flows.events()
    flows.give_up(second, "no answer", 2 * SILENT)
    assert [type(event) for event in flows.events()] == [CloseWanted, FlowDown, FlowDown]
    assert flows.deadline() is not None, "tried again after a pause"


def test_the_server_that_answered_is_the_one_for_the_next_network() -> None:
    flows, flow = over_udp(OVER_UDP, NEXT_UDP, heard=False)
    flows.give_up(flow, "no answer", SILENT)
    second = up(flows, OFFICE, NEXT_UDP, SILENT)
    flows.heard(second, SILENT)
    flows.events()
    flows.want(CELL, SILENT + 1)
    assert opens(flows.events()) == [NEXT_UDP]


def test_a_flow_is_not_given_up_for_one_request_when_others_are_answered() -> None:
    flows, flow = over_udp(OVER_UDP)
    flows.heard(flow, SILENT - 1)
    flows.give_up(flow, "no answer", SILENT)
    assert flows.flow(OFFICE) == flow
    flows.give_up(flow, "no answer", 3 * SILENT)
    assert flows.flow(OFFICE) is None


def test_a_stream_is_left_for_another_server_only() -> None:
    """503, or no answer to REGISTER: the calls on the connection may still work."""
    for servers in ([FIRST], [FIRST, SECOND]):
        flows = Flows(SeededEntropy())
        flows.want(OFFICE, 0.0)
        flows.located(OFFICE, servers, 0.0)
        flow = up(flows, OFFICE)
        flows.events()
        flows.give_up(flow, "503 from the server", 40.0)
        assert opens(flows.events()) == servers[1:]


# Is the server there now?


def probed(flows: Flows) -> list[bool]:
    return [event.answered for event in flows.events() if isinstance(event, Probed)]


def connected(server: Server = FIRST, *, outbound: bool = True) -> tuple[Flows, Flow]:
    flows = Flows(SeededEntropy())
    flows.want(OFFICE, 0.0)
    flows.located(OFFICE, [server], 0.0)
    flow = up(flows, OFFICE, server)
    flows.heard(flow, 0.1)
    if outbound:
        flows.supports_outbound(flow, None, 0.1)
    return flows, flow


def test_a_server_that_answers_keepalives_is_asked_and_believed() -> None:
    flows, flow = connected()
    assert PingWanted(flow) in flows.events(), "asked once, so that later silence means something"
    flows.pong(flow, 0.13)
    flows.events()
    flows.probe(OFFICE, 10.0)
    assert flows.events() == [PingWanted(flow)]
    flows.pong(flow, 10.04)
    assert probed(flows) == [True]
    flows.probe(OFFICE, 20.0)
    flows.events()
    deadline = flows.deadline()
    assert deadline is not None and 20.3 < deadline < 20.0 + PROBE_WITHIN, "a few of its round trips of 40 ms"
    flows.expire(deadline)
    assert probed(flows) == [False]
    assert flows.flow(OFFICE) == flow, "the flow lives on: a probe is impatient"


def test_the_silence_of_a_server_that_never_answered_keepalives_means_nothing() -> None:
    flows, flow = connected(outbound=False)
    flows.probe(OFFICE, 10.0)
    flows.expire(10.0 + PROBE_WITHIN)
    assert probed(flows) == []
    flows.probe(OFFICE, 20.0)
    flows.heard(flow, 20.1)
    assert probed(flows) == [True], "any message is an answer"


def test_no_way_to_the_server_is_no_answer() -> None:
    flows, flow = connected()
    flows.failed(OFFICE, flow, "broke", 5.0)
    flows.events()
    flows.probe(OFFICE, 10.0)
    flows.expire(10.0 + PROBE_WITHIN)
    assert False in probed(flows)


def test_a_datagram_probe_is_repeated_and_any_copy_may_be_answered() -> None:
    udp = Server("UDP", FIRST.address, "example.org")
    flows, flow = connected(udp)
    flows.probe(OFFICE, 10.0)
    flows.expire(10.15)
    flows.expire(10.30)
    pings = [event for event in flows.events() if isinstance(event, PingWanted)]
    assert len(pings) == 3 and len({ping.transaction for ping in pings}) == 1
    flows.bound(flow, pings[0].transaction, Address(OFFICE.host, 40000), 10.4)
    assert probed(flows) == [True]
    flows.expire(11.0)
    assert not [event for event in flows.events() if isinstance(event, PingWanted)]


def test_after_a_sleep_a_flow_that_does_not_answer_is_opened_anew() -> None:
    flows, flow = connected()
    flows.pong(flow, 0.13)
    flows.events()
    flows.wake(4000.0)
    assert flows.events() == [PingWanted(flow)]
    flows.expire(4002.0)
    events = flows.events()
    assert CloseWanted(flow) in events and opens(events) == [FIRST]


def test_after_a_sleep_a_flow_that_answers_is_kept() -> None:
    flows, flow = connected()
    flows.pong(flow, 0.13)
    flows.wake(4000.0)
    flows.pong(flow, 4000.1)
    flows.events()
    flows.expire(4003.0)
    assert flows.flow(OFFICE) == flow and not flows.events()
