"""CacheDoctor: says of each live call what the prompt cache does with it, and why it misses."""

from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from nexusflow_core.caching.checkpoints import Checkpoints
from nexusflow_core.caching.counters import RecordedCounter
from nexusflow_core.caching.misses import Miss, Reason
from nexusflow_core.caching.prediction import Step
from nexusflow_core.caching.prompt import Prompt, with_implicit_breakpoint
from nexusflow_core.caching.rules import RULES, Rules, rules_of
from nexusflow_core.caching.simulator import CacheSimulator
from nexusflow_core.caching.tokens import Counted
from nexusflow_core.call import Call
from nexusflow_core.errors import InvalidRequestError, InvalidUsageError, UnknownModelError
from nexusflow_core.prices import PriceBook
from nexusflow_core.routing import Target
from nexusflow_core.untyped import MALFORMED
from nexusflow_core.usage import read_metered

__all__ = ["MAX_ENTRIES", "CacheDoctor", "Verdict"]

MAX_ENTRIES: Final = 16_384
"""Entries of the cache that are remembered, and sizes of prefixes; a sixteenth of it of earlier requests."""

_MAX_MODELS: Final = 1_024


class Verdict(Struct, frozen=True):
    """What an answer's counts say of a prediction.

    `miss`: None where nothing was lost. `disagreement`: tokens that were read above the prediction, or below
    it (negative); None where the counts lie within it.
    """

    miss: Miss | None
    disagreement: int | None = None


class Diagnosis:
    """One call under observation, from the first byte of its answer."""

    __slots__ = ("_cache", "_doctor", "_start", "_step")

    def __init__(
        self, doctor: "CacheDoctor", cache: CacheSimulator, step: Step, start: "_Start | None"
    ) -> None:
        self._doctor = doctor
        self._cache = cache
        self._step = step
        self._start = start

    def words(self, usage: dict[str, Any] | None, *, stream: bool) -> str:
        """Returns what a header says: `hit 12000`, `miss system_changed system[1]`, both for a part, or `none`.

        `usage` is known at the start of some answers; else this is the prediction.
        """
        start = self._start
        known = start is not None and usage is not None and start.has_prompt_of(usage)
        counted = start.counted if start is not None and known else _counted(usage, stream=stream)
        read, miss = self._step.read.best, self._step.miss
        if counted is not None and counted.total:
            read, miss = counted.read, judged(self._step, counted).miss
        hit = f"hit {read}" if read else ""
        return ", ".join(filter(None, (hit, f"miss {miss}" if miss is not None else ""))) or "none"

    def verdict(self, usage: dict[str, Any] | None, *, stream: bool) -> Verdict:
        """Returns what the usage of the whole answer says. Call it once; None is no usage."""
        start = self._start
        if start is not None and start.verdict is not None and usage and start.has_prompt_of(usage):
            return start.verdict
        counted = _counted(usage, stream=stream)
        if counted is None:
            return Verdict(self._step.miss)
        found = judged(self._step, counted)
        self._doctor.learn(self._cache, self._step, counted)
        return found


_OF_THE_PROMPT: Final = (
    "input_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation",
    "server_tool_use",
    "iterations",
)


class _Start(Struct, frozen=True):
    """What the start of an answer has stated. `verdict`: what that proved, and the doctor has learned."""

    usage: dict[str, Any]
    counted: Counted
    verdict: Verdict | None

    def has_prompt_of(self, usage: dict[str, Any]) -> bool:
        """True if the whole answer's usage counts its prompt in the same way, as nearly all do."""
        return all(usage.get(name) == self.usage.get(name) for name in _OF_THE_PROMPT)


def _counted(usage: dict[str, Any] | None, *, stream: bool) -> Counted | None:
    try:
        return None if usage is None else Counted.of(read_metered(usage, stream=stream))
    except InvalidUsageError:
        return None


class CacheDoctor:
    """Predicts the cache for each caller and upstream, with hashes of prompts and never their content.

    It looks at calls of models whose rules are known: Claude, and OpenAI's from gpt-5.6 on. All are read as the
    client sent them. `lock` guards it where calls come from several threads. Memory is bounded: see
    `checkpoints` and MAX_ENTRIES.
    """

    def __init__(self, book: PriceBook, lock: AbstractContextManager[Any] | None = None) -> None:
        self._book = book
        self._lock = lock or nullcontext()
        self._checkpoints = Checkpoints()
        self._caches = {
            rules.vendor: CacheSimulator(rules, RecordedCounter(MAX_ENTRIES), book, limit=MAX_ENTRIES)
            for rules in RULES
        }
        self._models: dict[str, tuple[str, Rules] | None] = {}

    def look(
        self,
        call: Call,
        target: Target,
        *,
        at: datetime,
        answered_at: datetime,
        usage: dict[str, Any] | None = None,
    ) -> Diagnosis | None:
        """Returns the diagnosis of a call whose answer has just begun; None where nothing can be said.

        `at` is when it was sent, `usage` what the answer has stated so far.
        """
        known = self._model(target.model or call.model)
        if known is None or call.seen is None or call.endpoint != "messages":
            return None
        model, rules = known
        cache = self._caches[rules.vendor]
        caller = call.principal.id if call.principal is not None else ""
        scope = f"{target.upstream.name}\0{caller}"
        session = call.session.session_id
        if session is not None and call.session.agent_id is not None:
            session = f"{session}\0{call.session.agent_id}"
        counted = _counted(usage, stream=False)
        confirmed: Step | None = None

        def proved(prompt: Prompt, blocks: int) -> bool:
            """Says whether the vendor read so many blocks from its cache: then none of them has changed.

            It reads an entry only if all blocks up to it are the same. The entry must reach beyond the blocks,
            and its known size must be the one that was counted.
            """
            nonlocal confirmed
            if counted is not None:
                confirmed = cache.confirm(
                    with_implicit_breakpoint(prompt),
                    counted,
                    beyond=blocks - 1,
                    at=at,
                    answered_at=answered_at,
                    scope=scope,
                    session=session,
                )
            return confirmed is not None

        with self._lock:
            try:
                prompt = self._checkpoints.read(
                    call.seen, rules, model=model, scope=scope, session=session, proved=proved
                )
            except (InvalidRequestError, *MALFORMED):
                return None
            if prompt is None:
                return None
            step = confirmed
            if step is None:
                prompt = with_implicit_breakpoint(prompt)
                step = cache.predict(prompt, at=at, answered_at=answered_at, scope=scope, session=session)
                cache.believe(step)
        verdict = None if confirmed is None else Verdict(confirmed.miss)
        start = _Start({**usage}, counted, verdict) if usage is not None and counted is not None else None
        return Diagnosis(self, cache, step, start)

    def learn(self, cache: CacheSimulator, step: Step, counted: Counted) -> None:
        """Takes in what an answer proves."""
        with self._lock:
            cache.observe(step, counted)

    def _model(self, name: str) -> tuple[str, Rules] | None:
        """Returns the model's id in the price book, and the rules of its cache. None: no rules are known."""
        if name not in self._models:
            if len(self._models) >= _MAX_MODELS:
                self._models.clear()
            try:
                found = self._book.find(name)
                rules = rules_of(found)
                self._models[name] = None if rules is None else (found.row.id, rules)
            except UnknownModelError:
                self._models[name] = None
        return self._models[name]


def judged(step: Step, counted: Counted) -> Verdict:
    """Returns what the counts say of a prediction. Sums over several runs of the model prove nothing."""
    read, miss = step.read, step.miss
    if counted.calls > 1:
        return Verdict(miss)
    if not read.may_be(counted.read):
        lost = Miss(Reason.UNEXPLAINED) if counted.read < read.least else None
        return Verdict(lost, counted.read - read.best)
    if miss is not None and miss.reason is Reason.BELOW_MINIMUM and counted.written:
        return Verdict(Miss(Reason.COLD))  # the size had been an estimate
    short = step.plan.minimum - counted.total
    if miss is not None and not counted.read + counted.written and short > 0:
        return Verdict(Miss(Reason.BELOW_MINIMUM, tokens=short))
    return Verdict(miss)
