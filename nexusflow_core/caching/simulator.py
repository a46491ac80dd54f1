"""CacheSimulator: predicts what the prompt cache reads and writes for each request, before its answer."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from nexusflow_core.caching.counters import Counter, RecordedCounter, sizes_of
from nexusflow_core.caching.entries import Entries, Pending
from nexusflow_core.caching.misses import Miss, Reason
from nexusflow_core.caching.predecessors import Predecessors
from nexusflow_core.caching.prediction import Plan, Prediction, Step
from nexusflow_core.caching.prompt import Breakpoint, Prompt
from nexusflow_core.caching.readers import read_prompt
from nexusflow_core.caching.rules import ANTHROPIC, Minimums, Rules
from nexusflow_core.caching.tokens import Counted, Tokens
from nexusflow_core.prices import PriceBook
from nexusflow_core.usage import Usage

__all__ = ["CacheSimulator"]


class CacheSimulator:
    """Predicts the cache of one workspace. Call `step` for each request, in the order in which they were sent.

    `counter` gives the sizes of prefixes; by default they are learned from each step's usage. A step takes time
    in proportion to the request's blocks. Memory grows with the live entries, up to `limit`.
    """

    def __init__(
        self,
        rules: Rules = ANTHROPIC,
        counter: Counter | None = None,
        book: PriceBook | None = None,
        *,
        limit: int | None = None,
    ) -> None:
        self.rules = rules
        self.counter: Counter = counter if counter is not None else RecordedCounter()
        self._minimums = Minimums(rules, book or PriceBook.builtin())
        self._entries = Entries(limit)
        self._predecessors = Predecessors() if limit is None else Predecessors(limit // 16)

    def __len__(self) -> int:
        """Returns the number of entries."""
        return len(self._entries)

    def read(self, request: Mapping[str, Any], *, scope: str = "") -> Prompt:
        """Returns a request as this cache sees it, to pass to `step`. Raises InvalidRequestError."""
        model = self._minimums.model(str(request.get("model") or ""))
        return read_prompt(request, self.rules, model=model, scope=scope)

    def step(
        self,
        request: Mapping[str, Any] | Prompt,
        *,
        at: datetime,
        usage: "Counted | Usage | Mapping[str, Any] | None" = None,
        answered_at: datetime | None = None,
        scope: str = "",
        session: str | None = None,
    ) -> Prediction:
        """Returns the prediction for a request sent at `at`. Then it learns from `usage`, the true counts.

        The prediction does not use them. Without `usage` the prediction counts as true. `answered_at`: when the
        answer began, and its entries became readable; None: at once. `session` helps to find the earlier
        request to compare with.

        Raises InvalidRequestError for breakpoints that the API refuses, InvalidUsageError for impossible
        counts, ValueError for a time without its zone.
        """
        counted = Counted.of(usage) if usage is not None and not isinstance(usage, Counted) else usage
        step = self.predict(request, at=at, answered_at=answered_at, scope=scope, session=session)
        prediction = step.prediction()
        if counted is None:
            self.believe(step)
        else:
            self.observe(step, counted)
        return prediction

    def predict(
        self,
        request: Mapping[str, Any] | Prompt,
        *,
        at: datetime,
        answered_at: datetime | None = None,
        scope: str = "",
        session: str | None = None,
    ) -> Step:
        """Returns the first half of a `step`, for `believe` and `observe`. Raises as `step` does."""
        if at.tzinfo is None or (answered_at is not None and answered_at.tzinfo is None):
            raise ValueError("at: a datetime needs its time zone")
        prompt = request if isinstance(request, Prompt) else self.read(request, scope=scope)
        plan = self._plan(prompt, at, answered_at or at)
        return Step(plan, plan.read, self._miss(plan, session, scope), session, scope)

    def believe(self, step: Step) -> None:
        """Takes the prediction as true until `observe`. Call it once the answer has begun."""
        step.believed = True
        self._apply(step.plan, step.plan.written())
        self._remember(step)

    def observe(self, step: Step, counted: Counted) -> None:
        """Learns from the answer's usage."""
        plan = step.plan
        if step.believed and not counted.read + counted.written:
            for mark in plan.written():
                self._entries.drop(plan.prompt.prefixes[mark.index])
        self._observe(plan, counted)
        self._remember(step)

    def confirm(
        self,
        prompt: Prompt,
        counted: Counted,
        *,
        beyond: int,
        at: datetime,
        answered_at: datetime,
        scope: str = "",
        session: str | None = None,
    ) -> Step | None:
        """Does what `predict` and `observe` do, in less time, if the counts are exactly those of an entry.

        The entry must reach beyond so many blocks. None: it is another case, and nothing was learned.
        """
        if counted.calls > 1 or not counted.read or not counted.written or self._entries.awaits(prompt):
            return None
        now = at.timestamp()
        hit, found_by = self._hit(prompt, now)
        if (
            hit < max(beyond, 0)
            or hit == prompt.marks[-1].index
            or self.counter.known(prompt, hit) != counted.read
        ):
            return None
        read, minimum = Tokens.exactly(counted.read), self._minimums.tokens(prompt.model, at)
        plan = Plan(prompt, {hit: read}, read, now, answered_at.timestamp(), hit, found_by, minimum)
        step = Step(plan, read, self._miss(plan, session, scope), session, scope)
        self._learn_sizes(prompt, counted)
        self._learn_entries(plan, counted, hit)
        self._remember(step)
        return step

    def _plan(self, prompt: Prompt, at: datetime, visible: datetime) -> Plan:
        for index, tokens in self._entries.resolve_pending(prompt):
            if tokens is not None:
                self.counter.learn(prompt, index, tokens)
        now = at.timestamp()
        hit, found_by = self._hit(prompt, now)
        sizes = sizes_of(self.counter, prompt, proved=hit)
        if hit >= 0 and hit not in sizes:
            sizes[hit] = self.counter.size(prompt, hit)
        total = self.counter.total(prompt)
        floor = max((size.best for size in sizes.values()), default=0)
        if total.best < floor:
            total = Tokens(floor, floor, max(floor, total.most))
        minimum = self._minimums.tokens(prompt.model, at)
        plan = Plan(prompt, sizes, total, now, visible.timestamp(), hit, found_by, minimum)
        if hit >= 0 and not sizes[hit].exact and sizes[hit].best < minimum:
            plan.hit, plan.doubtful = -1, hit
        return plan

    def _hit(self, prompt: Prompt, at: float) -> tuple[int, int]:
        """Returns the block of the longest readable entry, and the breakpoint that finds it; -1 without one.

        It looks from the last breakpoint backwards, so the first entry that it finds is the longest.
        """
        for mark in reversed(prompt.marks):
            for index in prompt.back_from(mark.index):
                entry = self._entries.get(prompt.prefixes[index])
                if entry is not None and entry.expires > at and entry.visible <= at:
                    return index, mark.index
        return -1, -1

    def _miss(self, plan: Plan, session: str | None, scope: str) -> Miss | None:
        """Returns why the request reads less than earlier requests wrote for it; None if it does not."""
        marks = plan.prompt.marks
        if not marks or plan.hit == marks[-1].index:
            return None
        if plan.hit < 0 and (last := plan.sizes[marks[-1].index]).best < plan.minimum:
            return Miss(Reason.BELOW_MINIMUM, tokens=plan.minimum - last.best)
        lost, miss = self._lost_entry(plan)
        before, found = self._predecessors.find(plan.prompt, session, scope, max(plan.hit, lost))
        if before is not None and found is not None and found[0] <= before.reach:
            late = plan.at - before.expires
            return found[1] if late < 0 else Miss(Reason.EXPIRED, found[1].path, seconds=late)
        if miss is None and plan.hit < 0:
            return Miss(Reason.COLD)
        return miss

    def _lost_entry(self, plan: Plan) -> tuple[int, Miss | None]:
        """Returns the block of the longest entry that this prompt cannot read, and why; -1 without one."""
        prompt, at = plan.prompt, plan.at
        for index in range(prompt.marks[-1].index, plan.hit, -1):
            entry = self._entries.get(prompt.prefixes[index])
            if entry is None:
                continue
            if entry.expires <= at:
                return index, Miss(Reason.EXPIRED, prompt.path(index), seconds=at - entry.expires)
            if entry.visible > at:
                return index, Miss(Reason.NOT_YET_VISIBLE, prompt.path(index), seconds=entry.visible - at)
            seen = {block for mark in prompt.marks for block in prompt.back_from(mark.index)}
            if index not in seen:
                beyond = _positions(prompt, index, min(other for other in seen if other > index))
                return index, Miss(Reason.LOOKBACK, prompt.path(index), positions=beyond)
        return -1, None

    # Learning

    def _apply(self, plan: Plan, written: list[Breakpoint]) -> None:
        """Renews the entries up to the hit, and writes those of the breakpoints in `written`."""
        for mark in plan.prompt.marks:
            if mark.index <= plan.hit:
                self._renew(plan, mark.index)
        if plan.hit >= 0:
            self._renew(plan, plan.hit)
        for mark in written:
            lifetime = self.rules.lifetimes[mark.lifetime]
            self._entries.write(plan.prompt.prefixes[mark.index], lifetime, plan.at, plan.visible)

    def _renew(self, plan: Plan, index: int) -> None:
        entry = self._entries.get(plan.prompt.prefixes[index])
        if entry is not None and entry.expires > plan.at:
            entry.renew(plan.at)

    def _observe(self, plan: Plan, counted: Counted) -> None:
        """Learns from an answer's counts: the sizes of prefixes, and which entries exist."""
        if counted.calls > 1:
            self._observe_server_tools(plan, counted)
            return
        prompt = plan.prompt
        if not prompt.marks or not counted.read + counted.written:
            self.counter.learn_total(prompt, counted.total)
            self._correct_hit(plan, -1)
            return
        self._learn_sizes(prompt, counted)
        read = self._block_read(plan, counted)
        self._correct_hit(plan, read)
        self._learn_entries(plan, counted, read)

    def _learn_sizes(self, prompt: Prompt, counted: Counted) -> None:
        """Learns the sizes that counts show of a prompt with breakpoints."""
        self.counter.learn_total(prompt, counted.total)
        self.counter.learn(prompt, prompt.marks[-1].index, counted.read + counted.written)
        if counted.write_1h and counted.write_5m:
            long = [mark.index for mark in prompt.marks if mark.lifetime == self.rules.long]
            if long:
                self.counter.learn(prompt, long[-1], counted.read + counted.write_1h)

    def _learn_entries(self, plan: Plan, counted: Counted, read: int) -> None:
        """Renews and writes the entries of a prompt, of which so much was `read`: a block, or -1."""
        prompt = plan.prompt
        if read >= 0:
            self.counter.learn(prompt, read, counted.read)
        plan.sizes = sizes_of(self.counter, prompt, proved=read)
        if read >= 0 and read not in plan.sizes:
            plan.sizes[read] = self.counter.size(prompt, read)
        plan.minimum = min(plan.minimum, counted.read + counted.written)
        written = [mark for mark in plan.may_be_written() if plan.sizes[mark.index].most > counted.read]
        self._apply(plan, written)
        if read >= 0 and self._entries.get(prompt.prefixes[read]) is None:
            mark = next((mark for mark in prompt.marks if mark.index >= read), prompt.marks[-1])
            lifetime = self.rules.lifetimes[mark.lifetime]
            self._entries.write(prompt.prefixes[read], lifetime, plan.at, plan.at)

    def _block_read(self, plan: Plan, counted: Counted) -> int:
        """Returns the block up to which the counts show a read; -1 if nothing was read, or it is unclear."""
        if not counted.read:
            return -1
        if not counted.written:
            return plan.prompt.marks[-1].index
        for index in (plan.hit, plan.doubtful):
            if index >= 0 and plan.sizes[index].may_be(counted.read):
                return index
        for mark in reversed(plan.prompt.marks):
            for index in plan.prompt.back_from(mark.index):
                if self.counter.known(plan.prompt, index) == counted.read:
                    return index
        return -1

    def _correct_hit(self, plan: Plan, read: int) -> None:
        """Sets the true hit, and drops an entry that was predicted and did not exist."""
        for index in (plan.hit, plan.doubtful):
            if index > read:
                self._entries.drop(plan.prompt.prefixes[index])
        plan.hit = read

    def _observe_server_tools(self, plan: Plan, counted: Counted) -> None:
        """Learns from an answer for which the model ran several times, because of server tools.

        The first run reads the predicted prefix. Each later run reads what the runs before it wrote. The last
        one leaves an entry that ends with the server tool's last result.
        """
        prompt = plan.prompt
        if not prompt.marks:
            return
        first = plan.sizes[plan.hit].best if plan.hit >= 0 else 0
        if counted.calls == 2 and counted.read > first:
            last = prompt.marks[-1].index
            self.counter.learn(prompt, last, counted.read - first)
            plan.sizes = sizes_of(self.counter, prompt)
            self._apply(plan, plan.written())
        if counted.written:
            lifetime = self.rules.lifetimes[self.rules.short]
            tokens = first + counted.written
            pending = Pending(tokens, lifetime, plan.at + lifetime, plan.visible, counted.thought)
            self._entries.add_pending(prompt, pending)

    def _remember(self, step: Step) -> None:
        """Keeps the request, to compare later ones with it."""
        self._predecessors.add(step.plan.prompt, step.session, step.scope, *self._reach(step.plan))

    def _reach(self, plan: Plan) -> tuple[int, float]:
        """Returns the block of the last entry that this request leaves, and its end; -1 if it leaves none."""
        for mark in reversed(plan.prompt.marks):
            entry = self._entries.get(plan.prompt.prefixes[mark.index])
            if entry is not None and entry.expires > plan.at:
                return mark.index, entry.expires
        return -1, plan.at


def _positions(prompt: Prompt, low: int, high: int) -> int:
    """Returns the number of lookback positions between two blocks. A run counts once."""
    runs, kinds = prompt.rules.runs, prompt.kinds
    return sum(1 for index in range(low, high) if kinds[index] not in runs or kinds[index] != kinds[index + 1])
