"""The four transaction machines of SIP as tables (RFC 3261 figures 6 and 8, RFC 6026 figures 5 and 7).

A table says which state follows from a state and a trigger; what is not in it changes nothing and goes no
further. What is done on the way (send, tell the user, arm a timer) is in `transaction_client` and
`transaction_server`; how long a state lasts at most is in `timers`.
"""

from __future__ import annotations

from enum import Enum


class State(Enum):
    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    ACCEPTED = "accepted"
    TERMINATED = "terminated"


class Trigger(Enum):
    PROVISIONAL = "1xx"
    SUCCESS = "2xx"
    FAILURE = "300-699"
    ACK = "ACK"
    TIMEOUT = "the state's last timer"
    FLOW_FAILED = "transport error"


Table = dict[State, dict[Trigger, State]]

# RFC 6026 figure 5. Timers: A and B in calling, M in accepted, D in completed.
INVITE_CLIENT: Table = {
    State.CALLING: {
        Trigger.PROVISIONAL: State.PROCEEDING,
        Trigger.SUCCESS: State.ACCEPTED,
        Trigger.FAILURE: State.COMPLETED,
        Trigger.TIMEOUT: State.TERMINATED,
        Trigger.FLOW_FAILED: State.TERMINATED,
    },
    State.PROCEEDING: {
        Trigger.PROVISIONAL: State.PROCEEDING,
        Trigger.SUCCESS: State.ACCEPTED,
        Trigger.FAILURE: State.COMPLETED,
        # Not in the figure: 64*T1 after a CANCEL without an answer the client gives up (RFC 3261 section 9.1),
        # and a proceeding INVITE on a connection that broke can never be answered.
        Trigger.TIMEOUT: State.TERMINATED,
        Trigger.FLOW_FAILED: State.TERMINATED,
    },
    State.COMPLETED: {
        Trigger.FAILURE: State.COMPLETED,
        Trigger.TIMEOUT: State.TERMINATED,
        Trigger.FLOW_FAILED: State.TERMINATED,
    },
    State.ACCEPTED: {
        Trigger.SUCCESS: State.ACCEPTED,
        Trigger.TIMEOUT: State.TERMINATED,
    },
}

# RFC 3261 figure 6. Timers: E and F in trying and proceeding, K in completed.
NON_INVITE_CLIENT: Table = {
    State.TRYING: {
        Trigger.PROVISIONAL: State.PROCEEDING,
        Trigger.SUCCESS: State.COMPLETED,
        Trigger.FAILURE: State.COMPLETED,
        Trigger.TIMEOUT: State.TERMINATED,
        Trigger.FLOW_FAILED: State.TERMINATED,
    },
    State.PROCEEDING: {
        Trigger.PROVISIONAL: State.PROCEEDING,
        Trigger.SUCCESS: State.COMPLETED,
        Trigger.FAILURE: State.COMPLETED,
        Trigger.TIMEOUT: State.TERMINATED,
        Trigger.FLOW_FAILED: State.TERMINATED,
    },
    State.COMPLETED: {
        Trigger.TIMEOUT: State.TERMINATED,
        Trigger.FLOW_FAILED: State.TERMINATED,
    },
}

# RFC 6026 figure 7. Timers: G and H in completed, I in confirmed, L in accepted. A transport error changes no
# state here, so that a request that is sent again is still known (RFC 6026 section 7.1).
INVITE_SERVER: Table = {
    State.PROCEEDING: {
        Trigger.PROVISIONAL: State.PROCEEDING,
        Trigger.SUCCESS: State.ACCEPTED,
        Trigger.FAILURE: State.COMPLETED,
    },
    State.COMPLETED: {
        Trigger.ACK: State.CONFIRMED,
        Trigger.TIMEOUT: State.TERMINATED,
    },
    State.CONFIRMED: {
        Trigger.ACK: State.CONFIRMED,
        Trigger.TIMEOUT: State.TERMINATED,
    },
    State.ACCEPTED: {
        Trigger.SUCCESS: State.ACCEPTED,
        Trigger.ACK: State.ACCEPTED,
        Trigger.TIMEOUT: State.TERMINATED,
    },
}

# RFC 3261 figure 8. Timers: J in completed; 64*T1 in the others, after which nobody waits for an answer any
# more and none may be sent (RFC 4320 section 4.2).
NON_INVITE_SERVER: Table = {
    State.TRYING: {
        Trigger.PROVISIONAL: State.PROCEEDING,
        Trigger.SUCCESS: State.COMPLETED,
        Trigger.FAILURE: State.COMPLETED,
        Trigger.TIMEOUT: State.TERMINATED,
    },
    State.PROCEEDING: {
        Trigger.PROVISIONAL: State.PROCEEDING,
        Trigger.SUCCESS: State.COMPLETED,
        Trigger.FAILURE: State.COMPLETED,
        Trigger.TIMEOUT: State.TERMINATED,
    },
    State.COMPLETED: {
        Trigger.TIMEOUT: State.TERMINATED,
    },
}


def trigger_of(status: int) -> Trigger:
    """The trigger that a response with this status is."""
    if status < 200:
        return Trigger.PROVISIONAL
    return Trigger.SUCCESS if status < 300 else Trigger.FAILURE
