"""Groups the calls of a log into conversations: what each turn read from the cache, what it lost, and why."""

from collections import Counter as Counts
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from nexusflow_core.caching.counters import Counter, RecordedCounter, Share, shares
from nexusflow_core.caching.misses import Miss, Reason
from nexusflow_core.caching.policies import Sent
from nexusflow_core.caching.prediction import Prediction
from nexusflow_core.caching.prompt import Prompt, with_implicit_breakpoint
from nexusflow_core.caching.rules import ANTHROPIC, OPENAI, RULES, Rules, rules_of
from nexusflow_core.caching.simulator import CacheSimulator
from nexusflow_core.caching.tokens import Counted
from nexusflow_core.errors import InvalidRequestError, UnknownModelError
from nexusflow_core.logs import Entry
from nexusflow_core.prices import PriceBook

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


_RULES: Final = (*RULES, replace(OPENAI, wire=ANTHROPIC.wire))
"""All rules, and those of OpenAI for a request in the form of the Messages API."""

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

    Calls with neither session nor request are counted under `(no session)`. Their losses are unknown, and their
    reasons are those that the log gives. A request is judged by the rules of its model, found in `book`.
    """

    def __init__(self, book: PriceBook | None = None) -> None:
        self._book = book or PriceBook.builtin()
        self._by_name: dict[str, Conversation] = {}
        self._roots: dict[bytes, int] = {}
        self._rules: dict[str, Rules | None] = {}
        self._simulators = {_key(rules): CacheSimulator(rules, RecordedCounter()) for rules in _RULES}
        self.sent: list[Sent] = []
        """The first MAX_SENT calls of Claude's models with a request, for `replay`."""
        self.not_replayed = Counts[str]()
        """Calls of other models with a request, by model: no policies are known for them."""
        self.disagreements = 0
        """Calls that read another number of tokens than was predicted with certainty."""

    @property
    def counter(self) -> Counter:
        """The counter that has learned sizes from the usage of these calls."""
        return self._simulators[_key(ANTHROPIC)].counter

    def __iter__(self) -> Iterator[Conversation]:
        return iter(self._by_name.values())

    def add(self, entry: Entry) -> Turn | None:
        """Adds a call. Returns its turn; None if it has no usage, or is a sum over many requests."""
        if entry.usage is None or entry.many_requests:
            return None
        counted = Counted.of(entry.usage, runs=entry.model_runs)
        predicted, name, split = self._predict(entry, counted)
        known = name is not None
        conversation = self._by_name.setdefault(
            name or _NO_SESSION, Conversation(name or _NO_SESSION, connected=known)
        )
        lost, miss = _loss(conversation, entry, counted, predicted) if known else (0, _said(entry))
        turn = Turn(entry.at, entry.models[0], counted, lost, miss, split, predicted)
        conversation.turns.append(turn)
        _remember(conversation, entry, counted)
        return turn

    def _predict(
        self, entry: Entry, counted: Counted
    ) -> tuple[Prediction | None, str | None, tuple[Share, ...]]:
        """Returns the prediction, the name of the conversation, and the counts by breakpoint."""
        request, session = entry.request, _session(entry)
        if request is None:
            return None, session, ()
        request = {**request, "model": request.get("model") or entry.models[0]}
        rules = self._rules_of(entry.models[0], request)
        if rules is not ANTHROPIC:
            self.not_replayed[entry.models[0]] += 1
        if rules is None:
            return None, session, ()
        simulator, scope = self._simulators[_key(rules)], entry.key or ""
        try:
            prompt = with_implicit_breakpoint(simulator.read(request, scope=scope))
            predicted = simulator.step(
                prompt, at=entry.at, usage=counted, answered_at=entry.answered_at, scope=scope, session=session
            )
        except InvalidRequestError:
            return None, session, ()
        name = session or self._named(prompt)
        if rules is ANTHROPIC and len(self.sent) < MAX_SENT:
            self.sent.append(Sent(request, entry.at, entry.answered_at, entry.usage, name))
        if predicted.exact and predicted.read.best != counted.read and counted.calls == 1:
            self.disagreements += 1
        return predicted, name, shares(prompt, simulator.counter, counted)

    def _rules_of(self, model: str, request: Mapping[str, Any]) -> Rules | None:
        """Returns the rules for a request; Claude's for an unknown model. None: the model has none."""
        if model not in self._rules:
            try:
                self._rules[model] = rules_of(self._book.find(model))
            except UnknownModelError:
                self._rules[model] = ANTHROPIC
        rules = self._rules[model]
        if rules is None or rules is ANTHROPIC or "messages" not in request:
            return rules
        return next(other for other in _RULES if other.vendor == rules.vendor and other.wire == ANTHROPIC.wire)

    def _named(self, prompt: Prompt) -> str | None:
        """Returns a name for the conversations that begin with the same block: a number, never its words."""
        if not prompt.root:
            return None
        return f"conversation {self._roots.setdefault(prompt.root, len(self._roots) + 1)}"


def _key(rules: Rules) -> tuple[str, str]:
    return rules.vendor, rules.wire


def _session(entry: Entry) -> str | None:
    """Returns the session and its subagent, or None."""
    return f"{entry.session} / {entry.agent}" if entry.session and entry.agent else entry.session


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
    if (said := _said(entry)) is not None:
        return said
    before = conversation.turns[-1]
    if before.model != entry.models[0]:
        return Miss(Reason.MODEL_CHANGED)
    late = (entry.at - before.at).total_seconds() - conversation.lifetime
    if late >= 0:
        return Miss(Reason.EXPIRED, seconds=late)
    if conversation.cached is not None and counted.total < conversation.cached:
        return Miss(Reason.MESSAGE_CHANGED)
    return Miss(Reason.UNEXPLAINED)


def _said(entry: Entry) -> Miss | None:
    """Returns the reason that the log itself gives: the doctor's, else Anthropic's; None without one."""
    if (ours := Miss.from_words(entry.cache_miss or "")) is not None:
        return ours
    reason = _ANTHROPIC_REASONS.get(entry.upstream_cache_miss or "")
    return None if reason is None else Miss(reason)


def _remember(conversation: Conversation, entry: Entry, counted: Counted) -> None:
    conversation.cached = counted.read + counted.written if counted.calls == 1 else None
    if counted.written:
        rules = next((rules for rules in RULES if rules.vendor == entry.vendor), ANTHROPIC)
        conversation.lifetime = rules.lifetimes[rules.long if counted.write_1h else rules.short]
