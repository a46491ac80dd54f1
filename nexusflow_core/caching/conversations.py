"""Calls of a log as conversations: what each turn read, what it lost, and why."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from msgspec import Struct, field

from nexusflow_core.caching.counters import Counter, RecordedCounter
from nexusflow_core.caching.misses import Miss, Reason
from nexusflow_core.caching.policies import Sent
from nexusflow_core.caching.rules import ANTHROPIC
from nexusflow_core.caching.shares import Share, shares
from nexusflow_core.caching.simulator import CacheSimulator, Prediction
from nexusflow_core.caching.tokens import Counted
from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.logs import Entry

__all__ = ["MAX_SENT", "Conversation", "Conversations", "Turn"]

MAX_SENT: Final = 5000
"""Requests that are kept to be replayed under other policies."""

_VENDORS: Final = {
    "tools_changed": Reason.TOOLS_CHANGED,
    "system_changed": Reason.SYSTEM_CHANGED,
    "messages_changed": Reason.MESSAGE_CHANGED,
    "model_changed": Reason.MODEL_CHANGED,
}
"""Anthropic's own reasons."""


class Turn(Struct, frozen=True):
    """One call: what it counted, how many tokens it could have read and did not, and why.

    `shares` split the counts by breakpoint; they are empty where the log keeps no requests. `predicted` is what
    the simulator had said before, with the request at hand.
    """

    at: datetime
    model: str
    counted: Counted
    lost: int = 0
    miss: Miss | None = None
    shares: tuple[Share, ...] = ()
    predicted: Prediction | None = None


class Conversation(Struct):
    """The turns of one session, or of one of its subagents, in the order of the log."""

    name: str
    turns: list[Turn] = field(default_factory=list[Turn])
    cached: int | None = None
    """How long the prefix was that the last turn left in the cache; None where sums do not tell it."""
    lifetime: int = ANTHROPIC.lifetimes[ANTHROPIC.short]
    """Of the last write, in seconds."""


class Conversations:
    """Takes in the entries of a log, and keeps a turn for each; never a request's content, but for `sent`.

    Calls without session and request belong to no conversation: they are counted under `(no session)`, and what
    they lost is not known.
    """

    def __init__(self) -> None:
        self._by_name: dict[str, Conversation] = {}
        self._simulator = CacheSimulator(ANTHROPIC, RecordedCounter())
        self.sent: list[Sent] = []
        """The first calls whose requests the log keeps, MAX_SENT at most, for `replay`."""
        self.disagreements = 0
        """Calls for which a known size was predicted to be read and another one was."""

    @property
    def counter(self) -> Counter:
        """Knows the sizes that the calls' usage proved."""
        return self._simulator.counter

    def __iter__(self) -> Iterator[Conversation]:
        return iter(self._by_name.values())

    def add(self, entry: Entry) -> Turn | None:
        """Takes in a call; returns its turn, and None where it has no usage or is a sum over many requests."""
        if entry.usage is None or entry.many_requests:
            return None
        counted = Counted.of(entry.usage, runs=entry.model_runs)
        predicted, root, split = self._predict(entry, counted)
        name = _name(entry, root)
        known = name is not None
        conversation = self._by_name.setdefault(name or "(no session)", Conversation(name or "(no session)"))
        lost, miss = _loss(conversation, entry, counted, predicted) if known else (0, None)
        turn = Turn(entry.at, entry.models[0], counted, lost, miss, split, predicted)
        conversation.turns.append(turn)
        _remember(conversation, counted)
        return turn

    def _predict(self, entry: Entry, counted: Counted) -> tuple[Prediction | None, bytes, tuple[Share, ...]]:
        if entry.request is None:
            return None, b"", ()
        request = {**entry.request, "model": entry.request.get("model") or entry.models[0]}
        scope = entry.key or ""
        try:
            prompt = self._simulator.read(request, scope=scope)
            predicted = self._simulator.step(
                prompt,
                at=entry.at,
                usage=counted,
                answered_at=entry.answered_at,
                scope=scope,
                session=_name(entry, b""),
            )
        except InvalidRequestError:
            return None, b"", ()
        if len(self.sent) < MAX_SENT:
            session = _name(entry, prompt.root)
            self.sent.append(Sent(request, entry.at, entry.answered_at, entry.usage, session))
        if predicted.exact and predicted.read.best != counted.read and counted.calls == 1:
            self.disagreements += 1
        return predicted, prompt.root, shares(prompt, self._simulator.counter, counted)


def _name(entry: Entry, root: bytes) -> str | None:
    """The session, with its subagent; else the beginning of the conversation, where the request shows it."""
    if entry.session is not None:
        return entry.session if entry.agent is None else f"{entry.session} / {entry.agent}"
    return f"conversation {root.hex()[:8]}" if root else None


def _loss(
    conversation: Conversation, entry: Entry, counted: Counted, predicted: Prediction | None
) -> tuple[int, Miss | None]:
    """How many tokens were in the cache after the turn before, were sent again and not read; and why not."""
    foreseen = predicted.miss if predicted is not None else None
    if foreseen is not None and foreseen.reason in (Reason.COLD, Reason.BELOW_MINIMUM):
        return 0, foreseen
    if not conversation.turns:
        return 0, None if counted.read else Miss(Reason.COLD)
    if conversation.cached is None or counted.calls > 1:
        return 0, None
    lost = min(conversation.cached, counted.total) - counted.read
    if lost <= 0:
        return 0, None
    return lost, foreseen or _reason(conversation, entry, counted)


def _reason(conversation: Conversation, entry: Entry, counted: Counted) -> Miss:
    """What the counts and the vendor's own word tell, where no request is at hand."""
    before = conversation.turns[-1]
    if (said := _VENDORS.get(entry.cache_miss or "")) is not None:
        return Miss(said)
    if before.model != entry.models[0]:
        return Miss(Reason.MODEL_CHANGED)
    late = (entry.at - before.at).total_seconds() - conversation.lifetime
    if late >= 0:
        return Miss(Reason.EXPIRED, seconds=late)
    if conversation.cached is not None and counted.total < conversation.cached:
        return Miss(Reason.MESSAGE_CHANGED)
    return Miss(Reason.UNEXPLAINED)


def _remember(conversation: Conversation, counted: Counted) -> None:
    conversation.cached = counted.read + counted.written if counted.calls == 1 else None
    if counted.written:
        name = ANTHROPIC.long if counted.write_1h else ANTHROPIC.short
        conversation.lifetime = ANTHROPIC.lifetimes[name]
