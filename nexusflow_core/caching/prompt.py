"""A request as the cache sees it: its blocks in order, each with a hash of everything up to it."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from nexusflow_core.caching.rules import Level, Rules
from nexusflow_core.caching.weights import text_weight
from nexusflow_core.errors import InvalidRequestError

__all__ = ["HASH_BYTES", "HIDDEN", "Breakpoint", "Builder", "Prompt", "with_implicit_breakpoint"]

HASH_BYTES = 8
"""Length of a block's own hash: Python's, with a key of its own in each process. That of a prefix has 16."""

HIDDEN = "hidden"
"""The kind of a tool that the vendor turns into system text: the tools before and after it stay cached."""

_PREFIX_BYTES = 16
_encode = msgspec.json.Encoder().encode


class Breakpoint(Struct, frozen=True):
    """A breakpoint: the index of its block, and the name of its lifetime."""

    index: int
    lifetime: str
    automatic: bool = False


class Prompt(Struct, frozen=True):
    """The blocks of one request, as hashes and sizes without content.

    `prefixes[i]`: hash of model, scope, parameters and all blocks up to i. `weights[i]`: estimated tokens up to
    block i. `own`: for each level, the hashes of its blocks, joined.
    """

    rules: Rules
    model: str
    parameters: dict[str, bytes]
    prefixes: list[bytes]
    kinds: list[str]
    roles: list[str]
    weights: list[int]
    marks: tuple[Breakpoint, ...]
    own: tuple[bytes, bytes, bytes]
    starts: tuple[int, int, int]
    """The first block of each level."""
    messages: list[int]
    """The first block of each message."""

    @property
    def root(self) -> bytes:
        """The hash of the first block of the first message; b"" without one."""
        return self.own[Level.MESSAGES][:HASH_BYTES]

    def level(self, index: int) -> Level:
        """Returns the level of a block."""
        return Level(bisect_right(self.starts, index, lo=1) - 1)

    def path(self, index: int) -> str:
        """Returns the place of a block: `tools[2]`, `system[0]`, `messages[4].content[1]`."""
        level = self.level(index)
        if level is not Level.MESSAGES:
            return f"{level.name.lower()}[{index - self.starts[level]}]"
        message = bisect_right(self.messages, index) - 1
        return f"messages[{message}].content[{index - self.messages[message]}]"

    def back_from(self, index: int) -> Iterator[int]:
        """Yields the blocks at which a breakpoint looks for an entry: its own, then earlier ones."""
        runs, kinds, left = self.rules.runs, self.kinds, self.rules.lookback
        before = ""
        for at in range(index, -1, -1):
            kind = kinds[at]
            if kind != before or kind not in runs:
                if not left:
                    return
                left -= 1
            before = kind
            yield at


def with_implicit_breakpoint(prompt: Prompt) -> Prompt:
    """Returns the prompt with a breakpoint at its end, where the rules set one if the request has none."""
    rules = prompt.rules
    if prompt.marks or not prompt.prefixes or not rules.implicit:
        return prompt
    last = Breakpoint(len(prompt.prefixes) - 1, rules.short, automatic=True)
    return replace(prompt, marks=(last,))


class Builder:
    """Builds a Prompt block by block, in the order of the prefix."""

    def __init__(self, rules: Rules, model: str, scope: str, parameters: dict[str, bytes]) -> None:
        self.rules, self.model, self.parameters = rules, model, parameters
        self.prefix = blake2b(_encode((model, scope)), digest_size=_PREFIX_BYTES).digest()
        self.prefixes: list[bytes] = []
        self.kinds: list[str] = []
        self.roles: list[str] = []
        self.weights: list[int] = []
        self.marks: list[Breakpoint] = []
        self.messages: list[int] = []
        self._own: list[bytes] = []
        self._starts: list[int] = []
        self._weight = 0
        self._markable = -1
        self._before: Prompt | None = None

    @classmethod
    def resumed(cls, prompt: Prompt, messages: int) -> "Builder":
        """Returns a builder that has taken in a prompt up to one of its messages, at least one.

        It goes on with `message`, and shares the parameters. Raises ValueError without a block of a message.
        """
        end = prompt.messages[messages] if messages < len(prompt.messages) else len(prompt.prefixes)
        if end <= prompt.starts[Level.MESSAGES]:
            raise ValueError("messages: at least one must have a block")
        build = cls(prompt.rules, prompt.model, "", prompt.parameters)
        build.prefix, build._weight = prompt.prefixes[end - 1], prompt.weights[end - 1]
        build.prefixes, build.weights = prompt.prefixes[:end], prompt.weights[:end]
        build.kinds, build.roles = prompt.kinds[:end], prompt.roles[:end]
        build.marks = [mark for mark in prompt.marks if mark.index < end and not mark.automatic]
        build.messages, build._before = prompt.messages[:messages], prompt
        return build

    def begin(self, level: Level) -> None:
        """Begins a level. Its parameters become part of the prefix."""
        self._starts.append(len(self.prefixes))
        if self.parameters:
            own = {row.parameter for row in self.rules.invalidations if row.level is level}
            chosen = [item for item in sorted(self.parameters.items()) if item[0] in own]
            if chosen:
                self.prefix = blake2b(self.prefix + _encode(chosen), digest_size=_PREFIX_BYTES).digest()

    def message(self, weight: int) -> None:
        """Begins a message. `weight`: its tokens besides those of its blocks."""
        self.messages.append(len(self.prefixes))
        self._weight += weight

    def weigh(self, weight: int) -> None:
        """Adds tokens that belong to no block."""
        self._weight += weight

    def text(self, role: str, text: str) -> None:
        """Adds a block of text."""
        data = text.encode("utf-8", "surrogatepass")
        self.add(role, "text", data, text_weight(len(data)))

    def add(self, role: str, kind: str, data: bytes, weight: int) -> None:
        """Adds a block. The prefixes of later blocks do not contain a hidden one."""
        own = hash((role, kind, data)).to_bytes(HASH_BYTES, "little", signed=True)
        prefix = blake2b(self.prefix + own, digest_size=_PREFIX_BYTES).digest()
        if kind != HIDDEN:
            self.prefix = prefix
        if data and kind not in self.rules.unmarkable:
            self._markable = len(self.prefixes)
        self.prefixes.append(prefix)
        self._own.append(b"" if kind == HIDDEN else own)
        self.kinds.append(kind)
        self.roles.append(role)
        self._weight += weight
        self.weights.append(self._weight)

    def mark(self, lifetime: str) -> None:
        """Sets a breakpoint on the last block, unless that block has one."""
        self._mark(Breakpoint(len(self.prefixes) - 1, lifetime))

    @property
    def can_mark_last(self) -> bool:
        """True if one of the blocks that were added here can have a breakpoint."""
        return self._markable >= 0

    def mark_last(self, lifetime: str) -> None:
        """Sets the automatic breakpoint on the last block that can have one, unless that block has one."""
        if self._markable >= 0:
            self._mark(Breakpoint(self._markable, lifetime, automatic=True))

    def _mark(self, mark: Breakpoint) -> None:
        if all(other.index != mark.index for other in self.marks[-1:]):
            self.marks.append(mark)

    def done(self) -> Prompt:
        """Returns the prompt. Raises InvalidRequestError for breakpoints that the API refuses."""
        return Prompt(
            self.rules,
            self.model,
            self.parameters,
            self.prefixes,
            self.kinds,
            self.roles,
            self.weights,
            self._checked(),
            *self._levels(),
            self.messages,
        )

    def _levels(self) -> tuple[tuple[bytes, bytes, bytes], tuple[int, int, int]]:
        """The own hashes of the blocks by level, and the first block of each."""
        own, before = self._own, self._before
        if before is not None:
            tools, system, messages = before.own
            kept = len(self.prefixes) - len(own) - before.starts[Level.MESSAGES]
            return (tools, system, messages[: kept * HASH_BYTES] + b"".join(own)), before.starts
        tools_at, system_at, messages_at = self._starts
        return (
            b"".join(own[tools_at:system_at]),
            b"".join(own[system_at:messages_at]),
            b"".join(own[messages_at:]),
        ), (tools_at, system_at, messages_at)

    def _checked(self) -> tuple[Breakpoint, ...]:
        rules, marks = self.rules, tuple(self.marks)
        if len(marks) > rules.breakpoints:
            if rules.latest_only:
                return marks[-rules.breakpoints :]
            raise InvalidRequestError(
                f"cache_control: at most {rules.breakpoints} breakpoints are allowed, {len(marks)} are set"
            )
        if rules.longest_first:
            _check_order(marks, rules.lifetimes)
        return marks


def _check_order(marks: Sequence[Breakpoint], lifetimes: Mapping[str, Any]) -> None:
    shortest = None
    for mark in marks:
        seconds = lifetimes[mark.lifetime]
        if shortest is not None and seconds > shortest:
            raise InvalidRequestError(
                f"cache_control: a breakpoint of {mark.lifetime} may not come after one of a shorter lifetime"
            )
        shortest = seconds
