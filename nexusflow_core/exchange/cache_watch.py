"""The seam between an exchange and whoever explains the prompt cache, such as `caching.doctor`."""

from datetime import datetime
from typing import Any, Protocol

from msgspec.structs import replace

from nexusflow_core.call import Call
from nexusflow_core.dialect import Leg
from nexusflow_core.record import CallRecord
from nexusflow_core.routing import Target
from nexusflow_core.upstream import Headers

__all__ = ["CacheView", "CacheWatch", "Diagnosis", "Verdict"]


class Verdict(Protocol):
    """What an answer's counts say of the cache."""

    @property
    def miss(self) -> object | None:
        """The reason of a miss; `str` gives its word and place."""
        ...

    @property
    def disagreement(self) -> int | None:
        """Tokens read above the prediction, or below it; None where it was right."""
        ...


class Diagnosis(Protocol):
    """One call under observation."""

    def words(self, usage: dict[str, Any] | None, *, stream: bool) -> str:
        """Returns what a header says, in ASCII. None: the answer's usage is not known yet."""
        ...

    def verdict(self, usage: dict[str, Any] | None, *, stream: bool) -> Verdict:
        """Returns what the whole answer's usage says. It is called once."""
        ...


class CacheWatch(Protocol):
    """Sees each call whose answer begins. It never raises for what a caller or an upstream sent."""

    def look(
        self,
        call: Call,
        target: Target,
        *,
        at: datetime,
        answered_at: datetime,
        usage: dict[str, Any] | None,
    ) -> Diagnosis | None:
        """Returns the diagnosis of a call; None where nothing can be said. The call still has its body.

        `usage` is what the answer has stated so far.
        """
        ...


class CacheView:
    """The prompt cache of one call, as a watch sees it. `header`: the answer says it too."""

    __slots__ = ("_diagnosis", "_failed", "_header", "_watch")

    def __init__(self, watch: CacheWatch, *, header: bool) -> None:
        self._watch, self._header = watch, header
        self._diagnosis: Diagnosis | None = None
        self._failed: str | None = None

    def begin(self, call: Call, target: Target, leg: Leg, *, at: datetime, answered_at: datetime) -> Headers:
        """Looks at a call whose answer begins. Returns headers for it, perhaps none."""
        try:
            facts = leg.facts
            usage = None if facts.estimated else facts.usage
            self._diagnosis = self._watch.look(call, target, at=at, answered_at=answered_at, usage=usage)
            if self._diagnosis is None or not self._header:
                return ()
            words = self._diagnosis.words(usage, stream=call.stream)
            return ((b"x-nexusflow-cache", words.encode("ascii", "replace")),)
        except Exception as error:  # a defect of the doctor must not cost anybody an answer
            self._failed = type(error).__name__
            return ()

    def explained(self, record: CallRecord) -> CallRecord:
        """Returns the record with the reason of a miss. An estimated usage proves nothing."""
        known = record.usage if record.usage_source in ("upstream", "partial") else None
        verdict: Verdict | None = None
        try:
            if self._diagnosis is not None:
                verdict = self._diagnosis.verdict(known, stream=record.stream)
        except Exception as error:  # a defect of the doctor: the record below names it
            self._failed = type(error).__name__
        if self._failed is not None:
            return replace(record, cache_miss=f"doctor_failed {self._failed}")
        if verdict is None:
            return record
        if verdict.miss is None and verdict.disagreement is None:
            return record
        miss = None if verdict.miss is None else str(verdict.miss)
        return replace(record, cache_miss=miss, cache_disagreement=verdict.disagreement)
