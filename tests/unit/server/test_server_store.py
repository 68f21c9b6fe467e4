"""What is written comes back; and small parts of the server."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from segue.base.errors import LocalError
from segue.protocols.sip.message import Headers, Response
from segue.server.authentication import hashes_of
from segue.server.best_response import best_response
from segue.server.rate_limit import RateLimit
from segue.server.store import Store, changes_of

INSTANCE = "urn:uuid:00000000-0000-1000-8000-00000000000a"


def saved(office, store):
    """Write what is dirty, as the shell does."""
    batch = office.core.take_batch()
    store.write(changes_of(batch.dirty, 0.0))
    office.core.committed(batch, True, office.now)
    office.settle()


def restarted(office, store):
    office.core = office.new_core(seed=1)
    office.core.restore(store.bindings(office.now, 0.0), office.now)


def registered(office, store, phone):
    """Register with the store in between."""
    office.save = False
    request = phone.request("REGISTER", "sip:example.org", to=f"<{phone.aor}>", Contact=phone.contact_field())
    request.headers.set("Supported", "outbound, gruu")
    phone.send(request)
    phone.send(phone.again(request, phone.final()))
    saved(office, store)
    response = phone.final()
    office.save = True
    assert response.status == 200
    return response


def test_after_a_restart_a_datagram_flow_works_and_a_connection_is_waited_for(office):
    store = Store(":memory:")
    alice, bob, carol = (
        office.phone("alice"),
        office.phone("bob"),
        office.phone("carol", "TLS", instance=INSTANCE),
    )
    for phone in (alice, bob, carol):
        registered(office, store, phone)
    restarted(office, store)
    assert len(office.core.location) == 3
    alice.invite("sip:bob@example.org")
    bob.answer(bob.take_request("INVITE"), 486)
    assert alice.final().status == 486
    alice.invite("sip:carol@example.org")
    office.advance(2)
    back = office.phone("carol", "TLS", instance=INSTANCE)
    back.register()
    back.answer(back.take_request("INVITE"), 486)
    assert alice.final().status == 486


def test_a_connection_that_does_not_come_back_after_a_restart_is_dropped(office):
    store = Store(":memory:")
    alice, carol = office.phone("alice"), office.phone("carol", "UDP")
    carol_tls = office.phone("carol", "TLS", instance=INSTANCE)
    for phone in (alice, carol, carol_tls):
        registered(office, store, phone)
    restarted(office, store)
    office.advance(30)
    alice.invite("sip:carol@example.org")
    carol.answer(carol.take_request("INVITE"), 486)
    office.advance(9)
    assert alice.final().status == 486
    assert len(office.core.location) == 2


def test_what_has_expired_meanwhile_is_gone(office):
    store = Store(":memory:")
    registered(office, store, office.phone("bob"))
    assert len(store.bindings(office.now + 3599, 0.0)) == 1
    assert store.bindings(office.now + 3601, 0.0) == []


def test_a_binding_comes_back_whole(office):
    store = Store(":memory:")
    phone = office.phone("bob", instance=INSTANCE)
    before = registered(office, store, phone).headers.get("Contact")
    restarted(office, store)
    fetch = phone.ask(phone.request("REGISTER", "sip:example.org", to=f"<{phone.aor}>"))
    assert fetch.headers.get("Contact") == before


def test_the_file_is_private_from_the_start_and_a_readable_one_is_refused(tmp_path):
    path = tmp_path / "folder" / "server.db"
    store = Store(str(path))
    store.put_users("example.org", {"bob": hashes_of("bob", "example.org", "x")})
    store.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    with pytest.raises(LocalError, match="chmod 600"):
        Store(str(path))


def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "server.db"
    path.touch(mode=0o600)
    path.write_bytes(b"this is text, and it is longer than a header" * 10)
    with pytest.raises(LocalError, match="--db"):
        Store(str(path))


def test_a_process_that_dies_after_write_has_written(tmp_path):
    path = tmp_path / "server.db"
    code = (
        "import os, sys; from segue.server.store import *; s = Store(sys.argv[1]);"
        "s.put_users('d', {'bob': {'MD5': 'x'}}); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False, env=os.environ)
    assert done.returncode == -9
    assert Store(str(path)).users("d") == {"bob": {"MD5": "x"}}


def test_tokens_come_back_with_time_and_the_table_is_bounded():
    limit = RateLimit(rate=1.0, burst=3.0, size=10)
    assert [limit.take("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert limit.take("a", 1.0)
    assert not limit.take("a", 1.5)
    for number in range(100):
        limit.take(str(number), 2.0)
    assert len(limit) == 10
    assert RateLimit(0.0, 0.0).take("a", 0.0)


@pytest.mark.parametrize(
    ("statuses", "best"),
    [
        ([486, 603], 603),
        ([404, 302], 302),
        ([486, 408], 486),
        ([500, 404], 404),
        ([486, 407], 407),
        ([503], 500),
        ([430], 480),
        ([480, 486], 486),
    ],
)
def test_the_best_of_several_refusals(statuses, best):
    assert best_response([Response(status, "", Headers()) for status in statuses]).status == best


def test_challenges_of_all_branches_are_put_together():
    responses = [
        Response(401, "", Headers([("WWW-Authenticate", "Digest realm=a")])),
        Response(407, "", Headers([("Proxy-Authenticate", "Digest realm=b")])),
    ]
    best = best_response(responses)
    assert best.headers.get_all("WWW-Authenticate") == ["Digest realm=a"]
    assert best.headers.get_all("Proxy-Authenticate") == ["Digest realm=b"]
