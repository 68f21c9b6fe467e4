"""Which signalling flows exist, and what happens when they fail."""

from segue.base.address import Address
from segue.call.flows import (
    BACKOFF_LIMIT,
    CloseWanted,
    FlowDown,
    FlowEvent,
    Flows,
    FlowUp,
    LocateWanted,
    OpenWanted,
    Origin,
    PingWanted,
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
    flows.pong(flow)
    again = flows.deadline()
    assert again is not None
    flows.expire(again)
    flows.expire(again + 11)
    assert [type(event) for event in flows.events()] == [PingWanted, FlowDown, OpenWanted]


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
