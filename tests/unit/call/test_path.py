"""Which path media takes, and which it may come in on."""

from segue.base.address import Address, LocalPort
from segue.call.path import LINGER, SILENT_LINGER, MediaPaths

OLD = LocalPort("wlan0", Address("2001:db8:1::10", 4000))
NEW = LocalPort("wwan0", Address("2001:db8:3::10", 4000))
PEER = Address("2001:db8:9::5", 6000)


def paths() -> MediaPaths:
    paths = MediaPaths(OLD)
    paths.remote_moved(PEER, PEER)
    paths.received(OLD, 1.0)
    return paths


def test_nothing_leaves_before_the_peer_is_known() -> None:
    assert MediaPaths(OLD).active is None


def test_moving_changes_the_local_end_only() -> None:
    moved = paths()
    moved.send_from(NEW)
    assert moved.active is not None
    assert (moved.active.interface, moved.active.local, moved.active.remote) == ("wwan0", NEW.address, PEER)


def test_the_old_port_listens_until_media_flows_on_the_new_one() -> None:
    moved = paths()
    moved.listen_on(NEW)
    moved.send_from(NEW)
    assert moved.released(100.0) == []
    moved.received(OLD, 100.0)
    assert moved.released(101.0) == []
    moved.received(NEW, 101.0)
    assert moved.released(101.0) == []
    assert moved.released(101.0 + LINGER) == [OLD]
    assert moved.ports == (NEW,)
    assert moved.released(200.0) == []


def test_coming_back_to_a_port_needs_fresh_proof() -> None:
    moved = paths()
    moved.send_from(NEW)
    moved.restart_proof(NEW)
    moved.received(NEW, 5.0)
    moved.restart_proof(OLD)
    moved.listen_on(OLD)
    moved.send_from(OLD)
    assert moved.released(60.0) == []
    moved.received(OLD, 61.0)
    assert moved.released(62.0) == [NEW]


def test_a_port_of_a_move_that_has_only_begun_is_not_released() -> None:
    """Media flows on the old port, where we still send: the new one is awaited."""
    moved = paths()
    moved.received(OLD, 1.0)
    moved.listen_on(NEW)
    assert moved.release_at is None
    assert moved.released(60.0) == []
    assert moved.ports == (OLD, NEW)


def test_on_hold_the_peers_word_releases_the_old_port() -> None:
    moved = paths()
    moved.listen_on(NEW)
    moved.send_from(NEW)
    moved.agreed(NEW, 5.0)
    assert moved.release_at == 5.0 + SILENT_LINGER
    assert moved.released(5.0 + SILENT_LINGER) == [OLD]


def test_a_peer_in_the_other_family_is_not_sent_to() -> None:
    moved = paths()
    moved.send_from(LocalPort("wwan0", Address("192.0.2.10", 4000)))
    reachable = [moved.active]
    moved.remote_moved(Address("198.51.100.7", 6000), Address("198.51.100.7", 6001))
    assert reachable == [None] and moved.active is not None
    assert moved.rtcp is not None
    assert moved.rtcp.remote.port == 6001
