"""What phones that are out there cannot do, told by the name that they give themselves in their session
description (`a=tool`, RFC 8866 section 6.3). Nothing here makes a call less safe when the name is a lie.
"""

from __future__ import annotations

import re

from segue.protocols.sdp import SessionDescription

_TAKES_NEW_KEYS = (3, 12)  # the first baresip that does
_BARESIP = re.compile(r"baresip v?(\d{1,4})\.(\d{1,4})")


def keeps_first_key(description: SessionDescription) -> bool:
    """Whether this phone reads the SDES key of its peer once: baresip before 3.12 answers an offer with a new one
    and goes on with the old, so that it hears nothing more of who obeys RFC 4568 section 7.1.4."""
    tool = next((a.value or "" for a in description.attributes if a.name == "tool"), "")
    version = _BARESIP.match(tool)
    return version is not None and (int(version[1]), int(version[2])) < _TAKES_NEW_KEYS
