"""Whole phones in virtual time: whatever networks and users do, nothing breaks and both ends agree in the end."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segue.base.errors import SegueError
from segue.call import events as say
from segue.call.call import RING_LIMIT, CallState
from segue.testing.phones import Street, TestPhone, phone_config

INTERFACES = ("wlan0", "wwan0", "eth0")
METRICS = {"wlan0": 100, "wwan0": 200, "eth0": 50}
LENGTH = 60.0  # seconds of a walk

actions = st.sampled_from(
    [
        "join",
        "join",
        "leave",
        "lose_address",
        "lose_interface",
        "weak",
        "strong",
        "break",
        "hold",
        "resume",
        "dtmf",
        "answer",
    ]
)
steps = st.lists(
    st.tuples(
        actions,
        st.integers(0, 1),
        st.sampled_from(INTERFACES),
        st.sampled_from([0.0, 0.01, 0.05, 0.3, 2.0, 6.0]),
    ),
    min_size=3,
    max_size=20,
)


def act(s: Street, phone: TestPhone, action: str, interface: str, serial: int) -> None:
    mine = 1 if phone is s.phones[0] else 2
    agent = phone.agent
    if action == "join":
        phone.lose_interface(interface)
        phone.join(interface, f"198.51.{mine}.{serial}", METRICS[interface])
    elif action == "answer":
        answer(s)
    elif action in ("weak", "strong"):
        phone.signal(interface, -85 if action == "weak" else -50)
    elif action == "break":
        phone.break_flows()
    elif action in ("hold", "resume", "dtmf"):
        for call in list(agent.calls.values()):
            try:
                if action == "dtmf":
                    agent.press(call.id, "5#")
                else:
                    (agent.hold if action == "hold" else agent.resume)(call.id, s.now)
            except SegueError:
                pass  # not up (any more): the user is told so
    else:
        getattr(phone, action)(interface)
    s.drain()


def answer(s: Street) -> None:
    for call in list(s.phones[1].agent.calls.values()):
        if call.state is CallState.RINGING_IN:
            s.answer()


def walk(s: Street, moves: list[tuple[str, int, str, float]]) -> None:
    end = s.now + LENGTH
    for serial, (action, who, interface, pause) in enumerate(moves, 1):
        act(s, s.phones[who], action, interface, serial)
        s.run(min(pause, max(0.0, end - s.now)))
    s.run(max(0.0, end - s.now))


def networks_back(s: Street) -> None:
    for mine, phone in enumerate(s.phones, 1):
        for interface in INTERFACES:
            phone.lose_interface(interface)
        phone.join("home", f"203.0.113.{mine}")
    s.run(45)


def agree(s: Street) -> None:
    """Both up, hearing each other unless held; or ended on both sides, with everything closed."""
    a, b = s.phones
    if not a.agent.calls and b.agent.calls:
        s.run(RING_LIMIT)  # it rang while the caller was away for good
    elif b.agent.calls:
        answer(s)
    if not a.agent.calls and not b.agent.calls:
        s.run(70)
        assert all(len(p.said(say.Ended)) == 1 and not p.ports.open_ports for p in s.phones)
        return
    assert a.is_up and b.is_up, ([p.agent.calls for p in s.phones], [p.events[-4:] for p in s.phones])
    for phone in s.phones:
        phone.agent.resume(phone.call.id, s.now)
        s.run(12)
    for phone in s.phones:
        assert phone.hears(), (phone.name, phone.events[-4:])
        assert len(phone.ports.open_ports) == 1
        assert phone.call.media.paths.sending.interface == "home"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps, st.sampled_from([("TLS", "sdes"), ("UDP", "none")]), st.sampled_from([0.0, 0.1]), st.integers(0, 3)
)
def test_a_walk_with_a_call(
    moves: list[tuple[str, int, str, float]], way: tuple[str, str], loss: float, seed: int
) -> None:
    """`seed` is odd: nobody has answered yet when it begins."""
    transport, keying = way
    s = Street(
        phone_config("alice", keying=keying),
        phone_config("bob", keying=keying),
        transport=transport,
        seed=seed,
    )
    s.meet(answer=seed % 2 == 0)
    s.wire.loss, s.wire.jitter = loss, 0.2 * loss
    walk(s, moves)
    s.wire.loss = s.wire.jitter = 0.0
    networks_back(s)
    agree(s)
