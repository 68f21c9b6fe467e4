"""Every time, in seconds, and every bound of the ICE agent, with where it comes from."""

from __future__ import annotations

# RFC 8445
PACING = 0.050  # Ta (section 14.2)
RTO = 0.5  # the least there is (section 14.3)
PAIRS = 100  # on the check list (section 6.1.2.5)
AFTERMATH = 3.0  # how long the former credentials are answered when a restart is complete (section 8.3.1)
PATIENCE = 39.5  # RFC 8863 section 4: nothing has failed before
# RFC 7675 section 5.1
CONSENT = 30.0
CONSENT_CHECK = 5.0  # times 0.8 to 1.2

# What memory one peer, or one who copies its checks, can take
CANDIDATES = 64  # of the peer, signalled
PEER_REFLEXIVE = 24  # of the peer, learned; the oldest that nothing depends on goes
EARLY_CHECKS = 16  # kept until the peer's description is there
PORTS = 24  # of ours: eight for RTP, as many for RTCP, and the relayed ones
PATHS = 200
CHECKS = 200  # under way
STANDBY = 4  # proven paths, beside the selected one, that are kept alive
SERVERS = 4  # STUN servers that are asked
UNPACED_BURST, UNPACED_RATE = 6, 4.0  # checks that do not wait for Ta: so many at once, so many a second
REFUSAL_BURST, REFUSAL_RATE = 10, 10.0  # error responses to who has shown no credentials

# Nomination, and how long a better pair is waited for once there is a valid one
NOMINATION_PATIENCE = 0.25

# Migration (see the package's page on what is beyond the RFCs)
REPEAT, REPEATS, SLOW_REPEAT = 0.1, 5, 0.5  # the mover's check, until it is answered
PROOF_TIME = 2.0  # under proof, or on its way; then the path before is gone back to, if that works
INSIST = 0.2  # a path under proof is asked again
AMPLIFICATION = 3  # RFC 9000 section 8.1
REBIND_GRACE = 0.04  # after the new source is proven, for the old one's answer
ALIVE = 0.06  # three packets: a path that was heard so lately works
QUIET = 0.2  # a proven path is not suspected while it was heard within this time
SEARCH, SEARCH_TIME = 2.0, 300.0  # when no path is left: those that were are asked whether they work again
SILENT = 7.0  # longer than two checks of consent are apart: with checks from elsewhere, the path is doubted
DISMISSED = 1.0  # after a suspicion came to nothing
PROBE, PROBE_TIME = 0.5, 30.0  # of a path that would be gone back to
REMEMBERED = 8  # paths that were selected before
