"""Groups the calls of a log into conversations: what each turn read from the cache, what it lost, and why."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from msgspec import Struct, field

from nexusflow_core.caching.counters import Counter, RecordedCounter, Share, shares
from nexusflow_core.caching.misses import Miss, Reason
from nexusflow_core.caching.policies import Sent
from nexusflow_core.caching.prediction import Prediction
from nexusflow_core.caching.rules import ANTHROPIC, RULES
from nexusflow_core.caching.simulator import CacheSimulator
from nexusflow_core.caching.tokens import Counted
from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.logs import Entry

__all__ = ["MAX_SENT", "Conversation", "Conversations", "Turn"]

MAX_SENT: Final = 5000
"""Bound on the requests kept for a replay under other policies."""

_ANTHROPIC_REASONS: Final = {
    "tools_changed": Reason.TOOLS_CHANGED,
    "system_changed": Reason.SYSTEM_CHANGED,
    "messages_changed": Reason.MESSAGE_CHANGED,
    "model_changed": Reason.MODEL_CHANGED,
}
"""Anthropic's words for a miss, as its answers give them."""


_NO_SESSION = "(no session)"


class Turn(Struct, frozen=True):
    """One call. `lost`: tokens that it could have read from the cache and did not; `miss` says why.

    `shares` split the counts by breakpoint. `predicted` is the simulator's prediction from the request. Both
    need a log with requests.
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
    """Tokens of the prefix that the last turn left in the cache; None if it ran the model several times."""
    lifetime: int = ANTHROPIC.lifetimes[ANTHROPIC.short]
    """Lifetime of the last write, in seconds."""
    connected: bool = True
    """False for calls without a session: each may belong to another conversation."""


class Conversations:
    """Collects the entries of a log as turns. Only `sent` keeps the content of requests.

    Calls with neither session nor request are counted under `(no session)`. Their losses are unknown.
    """

    def __init__(self) -> None:
        self._by_name: dict[str, Conversation] = {}
        self._simulator = CacheSimulator(ANTHROPIC, RecordedCounter())
        self.sent: list[Sent] = []
        """The first MAX_SENT calls with a request, for `replay`."""
        self.disagreements = 0
        """Calls that read another number of tokens than was predicted with certainty."""

    @property
    def counter(self) -> Counter:
        """The counter that has learned sizes from the usage of these calls."""
        return self._simulator.counter

    def __iter__(self) -> Iterator[Conversation]:
        return iter(self._by_name.values())

    def add(self, entry: Entry) -> Turn | None:
        """Adds a call. Returns its turn; None if it has no usage, or is a sum over many requests."""
        if entry.usage is None or entry.many_requests:
            return None
        counted = Counted.of(entry.usage, runs=entry.model_runs)
        predicted, root, split = self._predict(entry, counted)
        name = _name(entry, root)
        known = name is not None
        conversation = self._by_name.setdefault(
            name or _NO_SESSION, Conversation(name or _NO_SESSION, connected=known)
        )
        lost, miss = _loss(conversation, entry, counted, predicted) if known else (0, None)
        turn = Turn(entry.at, entry.models[0], counted, lost, miss, split, predicted)
        conversation.turns.append(turn)
        _remember(conversation, entry, counted)
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
    """Returns the session and its subagent, else a hash of the conversation's first block, else None."""
    if entry.session is not None:
        return entry.session if entry.agent is None else f"{entry.session} / {entry.agent}"
    return f"conversation {root.hex()[:8]}" if root else None


def _loss(
    conversation: Conversation, entry: Entry, counted: Counted, predicted: Prediction | None
) -> tuple[int, Miss | None]:
    """Returns the lost tokens and the reason. Lost: cached by the previous turn, sent again, and not read."""
    expected = predicted.miss if predicted is not None else None
    if expected is not None and expected.reason in (Reason.COLD, Reason.BELOW_MINIMUM):
        return 0, expected
    if not conversation.turns:
        return 0, None if counted.read else Miss(Reason.COLD)
    if conversation.cached is None or counted.calls > 1:
        return 0, None
    lost = min(conversation.cached, counted.total) - counted.read
    if lost <= 0:
        return 0, None
    return lost, expected or _reason(conversation, entry, counted)


def _reason(conversation: Conversation, entry: Entry, counted: Counted) -> Miss:
    """Returns the reason of a miss without the request: from Anthropic's word for it, else from the counts."""
    before = conversation.turns[-1]
    if (ours := Miss.from_words(entry.cache_miss or "")) is not None:
        return ours
    if (reason := _ANTHROPIC_REASONS.get(entry.upstream_cache_miss or "")) is not None:
        return Miss(reason)
    if before.model != entry.models[0]:
        return Miss(Reason.MODEL_CHANGED)
    late = (entry.at - before.at).total_seconds() - conversation.lifetime
    if late >= 0:
        return Miss(Reason.EXPIRED, seconds=late)
    if conversation.cached is not None and counted.total < conversation.cached:
        return Miss(Reason.MESSAGE_CHANGED)
    return Miss(Reason.UNEXPLAINED)


def _remember(conversation: Conversation, entry: Entry, counted: Counted) -> None:
    conversation.cached = counted.read + counted.written if counted.calls == 1 else None
    if counted.written:
        rules = next((rules for rules in RULES if rules.vendor == entry.vendor), ANTHROPIC)
        conversation.lifetime = rules.lifetimes[rules.long if counted.write_1h else rules.short]
