"""`from segue import Phone`: two phones and a server on loopback, over TLS, as a program uses them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from segue import Call, Frame, LocalError, Phone, RemoteError
from segue.base.keying import Assurance
from segue.call.events import Digit, Ended, HoldChanged, IncomingCall, Up

REPOSITORY = Path(__file__).parents[2]
both = pytest.mark.parametrize("in_process", [True, False], ids=["in process", "voice process"])


def strength(samples: np.ndarray, hertz: float, rate: int) -> float:
    """The part of a signal's energy that is at this frequency."""
    wave_ = np.exp(-2j * np.pi * hertz * np.arange(len(samples)) / rate)
    power = 2 * abs(np.vdot(wave_.conj(), samples.astype(float))) ** 2 / len(samples)
    return power / (float(np.sum(samples.astype(float) ** 2)) + 1e-9)


def read_wav(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")


def lives(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def facts_of(process: int | None) -> bytes:
    """What others on this machine may see of a process."""
    return b"".join(Path(f"/proc/{process}/{name}").read_bytes() for name in ("cmdline", "environ"))


async def ring(phone: Phone) -> Call:
    """The next call that rings."""
    async with asyncio.timeout(10):
        async for call in phone.incoming():
            return call
    raise AssertionError("the phone was closed")


async def talk(alice: Phone, bob: Phone) -> tuple[Call, Call]:
    """Both ends of a call that is up."""
    await asyncio.gather(alice.registered(), bob.registered())
    ringing = asyncio.create_task(ring(bob))
    placing = asyncio.create_task(alice.call("bob"))
    answered = await ringing
    await answered.answer()
    return await placing, answered


@both
async def test_a_call_is_heard_in_both_recordings_and_in_listen(office, in_process, tmp_path):
    async with (
        office.phone("alice", audio_in="tone:500", in_process=in_process) as alice,
        office.phone("bob", audio_in="tone:800", in_process=in_process) as bob,
    ):
        call, answered = await talk(alice, bob)
        assert (call.state, call.peer, call.codec) == ("up", "bob", "PCMA")
        assert call.suite and call.verification.assurance is Assurance.HOP_BY_HOP
        assert answered.incoming and "alice@example.org" in answered.peer
        await call.record(str(tmp_path / "alice.wav"))
        await answered.record(str(tmp_path / "bob.wav"))
        heard: list[Frame] = []
        async for frame in call.listen():
            heard.append(frame)
            if len(heard) == 60:
                break
        await call.hang_up()
        assert call.state == "ended"
        await answered.ended()
        samples = np.concatenate([frame.samples for frame in heard[20:]])
        assert strength(samples, 800, 8000) > 0.95
        assert strength(read_wav(tmp_path / "alice.wav")[-4000:], 800, 8000) > 0.95
        assert strength(read_wav(tmp_path / "bob.wav")[-4000:], 500, 8000) > 0.95


@both
async def test_what_a_program_plays_and_says_arrives(office, in_process, tmp_path):
    async with (
        office.phone("alice", in_process=in_process) as alice,
        office.phone("bob", in_process=in_process) as bob,
    ):
        call, answered = await talk(alice, bob)
        file = tmp_path / "welcome.wav"
        with wave.open(str(file), "wb") as out:
            out.setparams((1, 2, 16000, 0, "NONE", ""))
            out.writeframes(
                (8000 * np.sin(np.arange(8000) * 2 * np.pi * 700 / 16000)).astype("<i2").tobytes()
            )
        await answered.record(str(tmp_path / "heard.wav"))
        begin = asyncio.get_running_loop().time()
        await call.play(str(file))
        assert 0.4 < asyncio.get_running_loop().time() - begin < 1.5  # as long as it lasts
        tone = (8000 * np.sin(np.arange(16000) * 2 * np.pi * 1000 / 16000)).astype(np.int16)
        begin = asyncio.get_running_loop().time()
        await call.say(Frame(part, 16000) for part in np.split(tone, 50))
        await call.said()
        assert 0.8 < asyncio.get_running_loop().time() - begin < 2.0  # at the pace of speech
        await asyncio.sleep(0.2)
        await call.hang_up()
        await answered.ended()
        heard = read_wav(tmp_path / "heard.wav")
        pieces = [heard[at : at + 800] for at in range(0, len(heard) - 800, 800)]
        played = [strength(piece, 700, 8000) > 0.8 for piece in pieces]
        said = [strength(piece, 1000, 8000) > 0.8 for piece in pieces]
        assert sum(played) >= 3 and sum(said) >= 7
        assert said.index(True) > played.index(True)
        with pytest.raises(RemoteError, match="the call is over"):
            await answered.play(str(file))


@both
async def test_hold_keys_and_events(office, in_process):
    async with (
        office.phone("alice", in_process=in_process) as alice,
        office.phone("bob", in_process=in_process) as bob,
    ):
        call, answered = await talk(alice, bob)
        await call.hold()
        assert call.held_by == "us"
        await call.resume()
        assert call.held_by == ""
        with pytest.raises(LocalError, match="no such keys"):
            call.press("1x")
        await call.press("12#")
        await asyncio.sleep(1.2)
        await call.hang_up()
        told = [event async for event in answered.events()]
        assert [type(event) for event in told[:2]] == [IncomingCall, Up]
        assert [event.held_by for event in told if isinstance(event, HoldChanged)] == ["peer", ""]
        assert "".join(event.digit for event in told if isinstance(event, Digit)) == "12#"
        assert isinstance(told[-1], Ended) and told[-1].by == "peer"
        assert [event async for event in answered.events()] == told
        with pytest.raises(RemoteError):
            await answered.hold()


async def test_a_call_is_refused_with_the_status_of_the_other_end(office):
    async with office.phone("alice") as alice, office.phone("bob") as bob:
        await asyncio.gather(alice.registered(), bob.registered())
        for status, words in ((486, "busy"), (603, "declined")):
            ringing = asyncio.create_task(ring(bob))
            placing = asyncio.create_task(alice.call("bob"))
            (await ringing).reject(status)
            with pytest.raises(RemoteError, match=words) as refused:
                await placing
            assert refused.value.status == status


async def test_nobody_has_that_address_and_nobody_is_there(office):
    async with office.phone("alice") as alice:
        await alice.registered()
        with pytest.raises(RemoteError, match="nobody has that address") as refused:
            await alice.call("zed")
        assert refused.value.status == 404
        with pytest.raises(RemoteError, match="not reachable") as refused:
            await alice.call("bob")
        assert refused.value.status == 480


async def test_a_call_that_is_cancelled_stops_ringing(office):
    async with office.phone("alice") as alice, office.phone("bob") as bob:
        await asyncio.gather(alice.registered(), bob.registered())
        placing = asyncio.create_task(alice.call("bob"))
        answered = await ring(bob)
        placing.cancel()
        await asyncio.wait_for(answered.ended(), 5)
        assert answered.state == "ended"


@both
async def test_a_wrong_password_is_said(office, in_process):
    async with office.phone("alice", password="guess", in_process=in_process) as alice:
        with pytest.raises(RemoteError, match="password") as refused:
            await alice.registered()
        assert refused.value.status in (401, 403)


async def test_an_authority_that_is_not_trusted_is_said(office):
    async with office.phone("alice", ca="") as alice:
        with pytest.raises(LocalError, match="not trusted here") as refused:
            await alice.registered()
        assert "--ca" in refused.value.remedy


@both
async def test_what_cannot_be_is_said_when_the_phone_opens(office, in_process):
    with pytest.raises(LocalError, match="no address of record"):
        office.phone("alice").__class__("alice")
    with pytest.raises(LocalError, match="cannot read sound"):
        async with office.phone("alice", audio_in="missing.wav", in_process=in_process):
            pass


async def test_the_owner_hears_that_its_voice_process_died(office):
    async with office.phone("alice", in_process=False) as alice, office.phone("bob") as bob:
        call, answered = await talk(alice, bob)
        waiting = asyncio.create_task(ring(alice))
        await asyncio.sleep(0)
        assert alice.process_id is not None
        os.kill(alice.process_id, signal.SIGKILL)
        assert isinstance(await asyncio.wait_for(call.ended(), 5), LocalError)
        with pytest.raises(LocalError, match="voice process died"):
            await waiting
        with pytest.raises(LocalError, match="voice process died"):
            await call.say(Frame(np.zeros(160, dtype=np.int16), 8000))
        with pytest.raises(LocalError, match="open the phone anew"):
            await alice.call("bob")
        await answered.hang_up()


async def test_the_voice_process_hangs_up_and_ends_when_its_owner_is_killed(office, tmp_path):
    program = tmp_path / "owner.py"
    program.write_text(
        "import asyncio, sys\n"
        "from segue import Phone\n"
        "async def main():\n"
        "    port, ca = sys.argv[1:]\n"
        "    async with Phone('sip:alice@example.org', password='of alice', registrar=f'127.0.0.1:{port}', ca=ca,\n"
        "                     codec='PCMA', interfaces=('lo',), family=4) as phone:\n"
        "        call = await phone.call('bob')\n"
        "        print(phone.process_id, flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    async with office.phone("bob") as bob:
        await bob.registered()
        owner = subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, str(program), str(office.port), office.authority.file], stdout=subprocess.PIPE
        )
        try:
            answered = await ring(bob)
            await answered.answer()
            assert owner.stdout is not None
            voice = int(await asyncio.to_thread(owner.stdout.readline))
            owner.kill()
            await asyncio.wait_for(answered.ended(), 5)
            for _ in range(100):
                if not lives(voice):
                    break
                await asyncio.sleep(0.05)
            assert not lives(voice)
        finally:
            owner.kill()
            owner.wait()


async def test_the_password_is_in_no_command_line_and_no_environment(office):
    async with office.phone("alice", password="of alice", in_process=False) as alice:
        await alice.registered()
        assert "of alice" not in repr(alice.config)
        assert b"voice_process" in facts_of(alice.process_id)
        assert b"of alice" not in facts_of(alice.process_id)


async def test_sound_that_nobody_takes_is_dropped_and_counted(office):
    async with office.phone("alice") as alice, office.phone("bob", audio_in="tone") as bob:
        call, _ = await talk(alice, bob)
        heard = call.listen()
        await anext(heard)
        await asyncio.sleep(5.8)  # five seconds are kept
        await anext(heard)
        assert 0.3 < call.dropped < 2.0
        await call.hang_up()


def test_importing_segue_imports_nothing_heavy():
    check = (
        "import sys, segue\n"
        "print(sorted({'asyncio', 'numpy', 'ssl', 'cryptography'} & set(sys.modules)))\n"
        "from segue import Phone\n"
        "print(sorted({'pyroute2', 'rich', 'click', 'dns'} & {name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[]"]


async def test_the_example_runs(office, tmp_path):
    (tmp_path / "password").write_text("of alice\n")
    greeting = REPOSITORY / "src/segue/devices/speech/sense_and_sensibility.wav"
    async with office.phone("bob", audio_in="tone:600") as bob:
        await bob.registered()
        example = await asyncio.create_subprocess_exec(
            *(sys.executable, str(REPOSITORY / "examples/place_a_call.py")),
            *("sip:alice@example.org", "bob", str(tmp_path / "password"), office.registrar),
            *(office.authority.file, str(greeting), str(tmp_path / "heard.wav")),
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"SEGUE_INTERFACES": "lo"},
        )
        answered = await ring(bob)
        await answered.answer()
        await asyncio.sleep(1.5)
        await answered.hang_up()
        output, _ = await asyncio.wait_for(example.communicate(), 10)
        assert example.returncode == 0
        assert "up: PCMA" in output.decode() or "up: opus" in output.decode()
        assert strength(read_wav(tmp_path / "heard.wav")[4000:8000], 600, 8000) > 0.5
