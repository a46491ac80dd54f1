"""Prediction: what a request reads and writes. A Plan is one in the making, a Step the first half of one."""

from msgspec import Struct

from nexusflow_core.caching.misses import Miss
from nexusflow_core.caching.prompt import Breakpoint, Prompt
from nexusflow_core.caching.tokens import Tokens

__all__ = ["Hit", "Plan", "Prediction", "Step"]


class Hit(Struct, frozen=True):
    """The entry that was read: index and path of its last block, and the path of the breakpoint that found
    it."""

    index: int
    path: str
    breakpoint: str


class Prediction(Struct, frozen=True, kw_only=True):
    """The tokens that a request reads, writes and pays in full. They do not overlap.

    `write_5m`, `write_1h`: writes with the shorter and the longer lifetime (5 minutes, an hour at Anthropic).
    `hit` is None if nothing is read, `miss` if nothing is lost. Both are set if only a part is read.
    """

    read: Tokens
    write_5m: Tokens
    write_1h: Tokens
    uncached: Tokens
    total: Tokens
    hit: Hit | None = None
    miss: Miss | None = None

    @property
    def exact(self) -> bool:
        """True if the number of tokens read is exactly known."""
        return self.read.exact


class Plan(Struct):
    """A prediction while it is made. `hit`: the block up to which the request reads; -1: it reads nothing."""

    prompt: Prompt
    sizes: dict[int, Tokens]
    total: Tokens
    at: float
    visible: float
    hit: int
    found_by: int
    minimum: int
    doubtful: int = -1
    """An entry's block that is not counted as a hit: its estimated size is below the minimum. -1: none."""

    @property
    def read(self) -> Tokens:
        """The tokens that the request reads."""
        if self.doubtful >= 0:
            return Tokens(0, 0, self.sizes[self.doubtful].most)
        if self.hit < 0:
            return Tokens.exactly(0)
        size = self.sizes[self.hit]
        return size if size.exact or size.least >= self.minimum else Tokens(0, size.best, size.most)

    def may_be_written(self) -> list[Breakpoint]:
        """Returns the breakpoints after the hit, except those that are certainly below the minimum."""
        marks = (mark for mark in self.prompt.marks if mark.index > self.hit)
        return [mark for mark in marks if self.sizes[mark.index].most >= self.minimum]

    def written(self) -> list[Breakpoint]:
        """Returns the breakpoints that write an entry: after the hit, and probably not below the minimum."""
        return [
            mark
            for mark in self.prompt.marks
            if mark.index > self.hit and self.sizes[mark.index].best >= self.minimum
        ]


class Step(Struct):
    """A request with what it should read, and why it reads no more. `observe` corrects the plan by the answer's
    usage."""

    plan: Plan
    read: Tokens
    miss: Miss | None
    session: str | None
    scope: str
    believed: bool = False

    def prediction(self) -> Prediction:
        """Returns the whole prediction. Call it before `observe`, which changes the plan."""
        plan, read, zero = self.plan, self.read, Tokens.exactly(0)
        prompt, written = plan.prompt, plan.written()
        long = [mark for mark in written if mark.lifetime == prompt.rules.long]
        until_long = plan.sizes[long[-1].index] if long else read
        until_last = plan.sizes[written[-1].index] if written else read
        hit = Hit(plan.hit, prompt.path(plan.hit), prompt.path(plan.found_by)) if plan.hit >= 0 else None
        return Prediction(
            read=read,
            write_1h=until_long.above(read) if long else zero,
            write_5m=until_last.above(until_long) if written else zero,
            uncached=plan.total.above(until_last),
            total=plan.total,
            hit=hit,
            miss=self.miss,
        )
