"""Places a call, plays a file, records what is heard, and prints each move.

python place_a_call.py sip:alice@example.org bob PASSWORD_FILE REGISTRAR CA_FILE welcome.wav heard.wav
"""

import asyncio
import os
import sys
from pathlib import Path

from segue import Phone, SegueError


async def main(
    aor: str, callee: str, password: str, registrar: str, ca: str, welcome: str, heard: str
) -> None:
    only = os.environ.get("SEGUE_INTERFACES", "").split()
    async with Phone(aor, password=password, registrar=registrar, ca=ca, interfaces=only) as phone:
        call = await phone.call(callee)
        print(f"up: {call.codec}, {call.suite}, {call.verification.assurance.value}")
        call.record(heard)
        playing = asyncio.create_task(call.play(welcome))
        async for event in call.events():  # MoveBegun, MoveEnded, PeerMoved, …; the last one is Ended
            print(event)
        await asyncio.gather(playing, return_exceptions=True)


aor, callee, secret, *rest = sys.argv[1:]
try:
    asyncio.run(main(aor, callee, Path(secret).read_text().strip(), *rest))
except SegueError as error:
    sys.exit(f"segue: {error}")
