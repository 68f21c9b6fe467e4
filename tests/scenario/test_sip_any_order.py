"""Whatever two users do, wherever they go, and whatever the network loses: both ends agree in the end."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from segue.base.address import Address
from segue.base.errors import LocalError
from segue.protocols.sip import session_events as said
from segue.protocols.sip.session_states import SessionState
from segue.testing.sip_ends import Relay, SipEnd, SipWire

ALICE, BOB, PROXY = Address("192.0.2.1", 5060), Address("198.51.100.2", 5060), Address("203.0.113.1", 5060)
PAUSES = (0.0, 0.01, 0.03, 0.07, 0.5, 3.0, 12.0)
COMMANDS = (
    "ring",
    "ring reliably",
    "ring with answer",
    "accept",
    "accept",
    "reinvite",
    "offerless",
    "update",
    "options",
    "move",
    "move",
    "soft",
    "away",
    "cut off",
    "reject",
    "hang up",
)


def do(end: SipEnd, command: str, address: Address, network: SipWire) -> None:
    """What does not fit raises LocalError, and nothing else ever does."""
    if not end.calls:
        return
    if command in ("ring", "ring reliably"):
        end.ring(reliable=command == "ring reliably")
    elif command == "ring with answer":
        end.ring_with_answer()
    elif command == "accept":
        end.accept()
    elif command in ("reinvite", "offerless"):
        end.reinvite(offerless=command == "offerless")
    elif command == "update":
        end.update()
    elif command == "options":
        end.call.send("OPTIONS", network.now)
        end.drain()
    elif command in ("move", "soft"):
        end.move(address, soft=command == "soft")
    elif command == "away":
        end.leave()
        network.run(2)
        end.arrive(address)
        end.tell_move()
    elif command == "cut off":
        end.leave(told=False)
        network.run(15)
        end.arrive(address)
        end.tell_move()
    elif command == "reject":
        end.call.reject(486, network.now)
        end.drain()
    elif command == "hang up":
        end.hang_up()


def same(alice: SipEnd, bob: SipEnd) -> bool:
    return (alice.up and bob.up) or (alice.ended and bob.ended)


STEPS = st.lists(
    st.tuples(st.booleans(), st.sampled_from(COMMANDS), st.sampled_from(PAUSES)), min_size=1, max_size=14
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    steps=STEPS,
    invited=st.sampled_from(["ring", "ring reliably", "ring with answer", "accept", "ignore"]),
    offerless=st.booleans(),
    transport=st.sampled_from(["UDP", "UDP", "TCP"]),
    loss=st.sampled_from([0.0, 0.1, 0.3]),
    jitter=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 1000),
)
def test_both_ends_are_up_or_both_have_ended(steps, invited, offerless, transport, loss, jitter, seed):
    network = SipWire(seed, transport=transport, loss=loss, jitter=jitter, duplicate=loss / 2)
    relay = Relay(network, PROXY)
    alice = SipEnd(network, "alice", ALICE, PROXY, relay=relay)
    bob = SipEnd(network, "bob", BOB, PROXY, relay=relay)
    bob.invited = invited
    alice.dial("bob", offerless=offerless)
    for number, (callee, command, pause) in enumerate(steps):
        network.run(pause)
        try:
            do(bob if callee else alice, command, Address(f"10.0.0.{number + 1}", 5060), network)
        except LocalError:
            pass
    network.datagrams.loss = network.datagrams.jitter = 0.0
    network.run(200)
    if [command for _, command, _ in steps].count("cut off") < 2:
        assert len(bob.calls) <= 1  # a caller that was lost for 64*T1 may ring anew
    if bob.calls and bob.call.state is SessionState.INCOMING:
        bob.accept()
        network.run(200)
    if alice.call.state is SessionState.CALLING:
        alice.hang_up()
        network.run(200)
    assert same(alice, bob), (alice.call.state, bob.calls and bob.call.state)
    if alice.up:
        if not alice.of(said.ReofferRefused) and not bob.of(said.ReofferRefused):
            assert alice.agreed == bob.agreed
        for end in (alice, bob):
            before = len(end.of(said.Modified))
            end.reinvite()
            network.run(100)
            assert len(end.of(said.Modified)) == before + 1 and alice.agreed == bob.agreed
        alice.hang_up()
        network.run(200)
    assert alice.ended and bob.ended
    for end in (alice, bob):
        words = [e for e in end.heard if isinstance(e, said.Ended | said.Refused | said.Redirected)]
        assert len(words) == len(end.calls)
        assert not end.sessions.all() and len(end.layer) == 0
