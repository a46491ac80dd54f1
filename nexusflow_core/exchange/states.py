"""The states of one call, and how it goes from one to the next.

Theory of operation. A call is answered by one attempt at one target, or by a later one that the client never
hears of. Until the client has the response head, a failed attempt can be given up: another one is opened, at
once or after a rest. PUBLISH is the point of no return. After it a failure is the last event of the answer, or
cuts the connection.

The caller reports what happens to its sockets, with the verbs of `Exchange`. A verb decides which event that
is, and the table gives the next state. Each state has its order: ASKING has Send, HEARING and ANSWERING have
Read, RESTING has Sleep, the others have Close. How far the answer itself has come is another question, which
`LegState` answers for each attempt.
"""

from collections.abc import Mapping
from enum import Enum, auto

__all__ = ["TRANSITIONS", "UNSEEN", "Event", "State"]


class State(Enum):
    """Where a call stands."""

    NEW = auto()
    """Nothing has been asked."""
    ASKING = auto()
    """A request is on its way to an upstream."""
    HEARING = auto()
    """The upstream answers. Nothing has gone to the client."""
    RESTING = auto()
    """Between two attempts."""
    ANSWERING = auto()
    """The client has the head, and gets the body."""
    OVER = auto()
    """Nothing changes any more."""
    RECORDED = auto()

    __hash__ = object.__hash__  # a tenth of what an Enum's own costs


class Event(Enum):
    """What moves a call on."""

    ASK = auto()
    """An attempt begins."""
    HEAR = auto()
    """The head of the upstream's answer has come."""
    REST = auto()
    """The next attempt has to wait."""
    PUBLISH = auto()
    """The head goes to the client."""
    END = auto()
    """The answer is whole, or has failed, or the client has left."""
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
    (State.ASKING, Event.PUBLISH): State.ANSWERING,  # the words of an earlier attempt
    (State.ASKING, Event.END): State.OVER,
    (State.HEARING, Event.ASK): State.ASKING,
    (State.HEARING, Event.REST): State.RESTING,
    (State.HEARING, Event.PUBLISH): State.ANSWERING,
    (State.HEARING, Event.END): State.OVER,
    (State.RESTING, Event.ASK): State.ASKING,
    (State.RESTING, Event.PUBLISH): State.ANSWERING,  # nobody else can carry the call
    (State.RESTING, Event.END): State.OVER,
    (State.ANSWERING, Event.END): State.OVER,
    (State.OVER, Event.RECORD): State.RECORDED,
}
"""Any other pair is a defect of ours."""

UNSEEN = frozenset({State.NEW, State.ASKING, State.HEARING, State.RESTING})
"""Nothing has gone to the client."""
