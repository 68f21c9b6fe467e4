"""The file of SRTP keys that a phone in the lab writes, in a call of whole phones."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from segue import Call, Phone
from segue.phone.engine import Engine
from segue.phone.keys_file import KeysFile
from segue.phone.voice_link import InnerLink


def engine_of(phone: Phone) -> Engine:
    link = phone._link
    assert isinstance(link, InnerLink)
    return link._service._engine


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


async def talk(alice: Phone, bob: Phone) -> Call:
    placing = asyncio.create_task(alice.call("bob"))
    await (await anext(bob.incoming())).answer()
    return await placing


async def test_the_keys_file_has_keys_that_a_reinvite_changed_and_nothing_else(
    office, tmp_path: Path
) -> None:
    file = tmp_path / "bob.keys"
    async with office.phone("alice") as alice, office.phone("bob") as bob:
        await asyncio.gather(alice.registered(), bob.registered())
        engine_of(bob)._keys_file = KeysFile(file)
        call = await talk(alice, bob)
        engine, (placed,) = engine_of(alice), engine_of(alice).agent.calls.values()
        assert len(lines(file)) == 1
        placed.media._negotiation._must_rekey = lambda _local: True  # type: ignore[method-assign]
        session, answered = placed.media.session, asyncio.Event()
        install = session.install
        session.install = lambda keys, now: (install(keys, now), answered.set())  # type: ignore[method-assign]
        now = asyncio.get_running_loop().time()
        placed.session.reinvite(now)
        engine.settle()
        await asyncio.wait_for(answered.wait(), 5)
        assert session.keys is not None
        key = session.keys.local.key.reveal().hex()
        assert [line["remote"]["key"] == key for line in lines(file)] == [False, True]
        await call.hang_up()
    assert len(lines(file)) == 2
