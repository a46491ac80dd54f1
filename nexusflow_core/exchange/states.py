"""The states of one call, and the events that change them.

Theory of operation. One attempt at one target answers a call. If it fails before the client has the response
head, another attempt may take its place, now or after a rest; the client does not notice. PUBLISH is the point
of no return: a later failure is the last event of the answer, or cuts the connection.

The caller reports what its sockets do, with the verbs of `Exchange`. A verb decides which event that is, and
the table gives the next state. Each state has its order: Send in ASKING, Read in HEARING and ANSWERING, Sleep
in RESTING, Close in the others. `LegState` is separate: the progress of the answer within one attempt.
"""

from collections.abc import Mapping
from enum import Enum, auto

__all__ = ["TRANSITIONS", "UNSEEN", "Event", "State"]


class State(Enum):
    """The state of a call."""

    NEW = auto()
    """No attempt has begun."""
    ASKING = auto()
    """A request is being sent to an upstream."""
    HEARING = auto()
    """The upstream has begun its answer. The client has nothing of it."""
    RESTING = auto()
    """The call waits for its next attempt."""
    ANSWERING = auto()
    """The client has the head and receives the body."""
    OVER = auto()
    """The answer is finished. Nothing changes any more."""
    RECORDED = auto()

    __hash__ = object.__hash__  # ten times faster than Enum's own


class Event(Enum):
    """An event that changes the state of a call."""

    ASK = auto()
    """An attempt begins."""
    HEAR = auto()
    """The head of the upstream's answer has arrived."""
    REST = auto()
    """The next attempt must wait."""
    PUBLISH = auto()
    """The client gets the head."""
    END = auto()
    """The answer is complete or has failed, or the client has left."""
    RECORD = auto()

    __hash__ = object.__hash__


TRANSITIONS: Mapping[tuple[State, Event], State] = {
    (State.NEW, Event.ASK): State.ASKING,
    (State.NEW, Event.REST): State.RESTING,  # each target cools down
    (State.NEW, Event.PUBLISH): State.ANSWERING,  # answered without an upstream
    (State.NEW, Event.END): State.OVER,  # refused
    (State.ASKING, Event.ASK): State.ASKING,  # the next target at once
    (State.ASKING, Event.HEAR): State.HEARING,
    (State.ASKING, Event.REST): State.RESTING,
    (State.ASKING, Event.PUBLISH): State.ANSWERING,  # an earlier attempt's error body
    (State.ASKING, Event.END): State.OVER,
    (State.HEARING, Event.ASK): State.ASKING,
    (State.HEARING, Event.REST): State.RESTING,
    (State.HEARING, Event.PUBLISH): State.ANSWERING,
    (State.HEARING, Event.END): State.OVER,
    (State.RESTING, Event.ASK): State.ASKING,
    (State.RESTING, Event.PUBLISH): State.ANSWERING,  # no other target can carry the call
    (State.RESTING, Event.END): State.OVER,
    (State.ANSWERING, Event.END): State.OVER,
    (State.OVER, Event.RECORD): State.RECORDED,
}
"""Any other pair is a defect of the gateway."""

UNSEEN = frozenset({State.NEW, State.ASKING, State.HEARING, State.RESTING})
"""States in which the client has received nothing."""
