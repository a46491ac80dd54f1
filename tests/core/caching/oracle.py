"""A prompt cache as one would write it first: whole prefixes in a list, compared one by one, quadratic."""

from __future__ import annotations

from typing import Any, NamedTuple

from nexusflow_core.caching import ANTHROPIC, Prompt, Tokens, read_prompt

LIFETIMES = {"5m": 300.0, "1h": 3600.0}


class WeightCounter:
    """Takes the weights as the true sizes, so that every prediction is exact."""

    def size(self, prompt: Prompt, index: int) -> Tokens:
        return Tokens.exactly(prompt.weights[index])

    def known(self, prompt: Prompt, index: int) -> int:
        return prompt.weights[index]

    def total(self, prompt: Prompt) -> Tokens:
        return Tokens.exactly(prompt.weights[-1] if prompt.weights else 0)

    def learn(self, prompt: Prompt, index: int, tokens: int) -> None: ...

    def learn_total(self, prompt: Prompt, tokens: int) -> None: ...


class Block(NamedTuple):
    """One block with its mark apart; `lead` is what the cache goes by from here on."""

    said: str
    kind: str
    lifetime: str | None
    lead: str


class Stored(NamedTuple):
    prefix: list[str]
    lifetime: str
    expires: list[float]


class Outcome(NamedTuple):
    read: int
    write_5m: int
    write_1h: int
    uncached: int


class NaiveCache:
    """Predicts as the rules are written, with nothing clever."""

    def __init__(self, minimum: int) -> None:
        self.minimum = minimum
        self.stored: list[Stored] = []

    def step(self, request: dict[str, Any], at: float) -> Outcome:
        blocks = flat(request)
        sizes = self.sizes(request)
        marks = [index for index, block in enumerate(blocks) if block.lifetime]
        read = max((self.found(blocks, mark, at) for mark in marks), default=-1)
        size_read = sizes[read] if read >= 0 else 0
        writing = [mark for mark in marks if mark > read and sizes[mark] >= self.minimum]
        long = [mark for mark in writing if blocks[mark].lifetime == "1h"]
        until_long = sizes[long[-1]] if long else size_read
        until_last = sizes[writing[-1]] if writing else size_read
        for mark in (*(mark for mark in marks if mark <= read), *([read] if read >= 0 else ())):
            for stored in self.stored:
                if stored.prefix == prefix(blocks, mark) and stored.expires[0] > at:
                    stored.expires[0] = at + LIFETIMES[stored.lifetime]
        for mark in writing:
            self.stored = [it for it in self.stored if it.prefix != prefix(blocks, mark)]
            lifetime = str(blocks[mark].lifetime)
            self.stored.append(Stored(prefix(blocks, mark), lifetime, [at + LIFETIMES[lifetime]]))
        total = sizes[-1] if sizes else 0
        return Outcome(size_read, until_last - until_long, until_long - size_read, total - until_last)

    def sizes(self, asked: dict[str, Any]) -> list[int]:
        """The tokens up to each block."""
        return read_prompt(asked, ANTHROPIC).weights

    def found(self, blocks: list[Block], mark: int, at: float) -> int:
        """The block of the first entry that a walk back of 20 positions meets; -1 for none."""
        positions, at_block = 0, mark
        while at_block >= 0 and positions < 20:
            run = at_block
            if blocks[at_block].kind in ("tool_use", "tool_result"):
                while run > 0 and blocks[run - 1].kind == blocks[at_block].kind:
                    run -= 1
            for index in range(at_block, run - 1, -1):
                if any(it.prefix == prefix(blocks, index) and it.expires[0] > at for it in self.stored):
                    return index
            positions, at_block = positions + 1, run - 1
        return -1


def prefix(blocks: list[Block], index: int) -> list[str]:
    return [block.lead + block.said for block in blocks[: index + 1]]


def flat(request: dict[str, Any]) -> list[Block]:
    """Every block in the order of the prefix."""
    model = request["model"]
    system_lead = f"{model} {request.get('speed')}"
    choice = request.get("tool_choice") or {"type": "auto"}
    message_lead = f"{system_lead} {choice} {request.get('thinking')}"
    blocks = [block(tool, "tool", model) for tool in request.get("tools", [])]
    blocks += [block(it, "system", system_lead) for it in request.get("system", [])]
    for message in request["messages"]:
        blocks += [block(it, message["role"], message_lead) for it in message["content"]]
    if (automatic := request.get("cache_control")) and blocks[-1].lifetime is None:
        blocks[-1] = blocks[-1]._replace(lifetime=automatic.get("ttl", "5m"))
    return blocks


def block(it: dict[str, Any], role: str, lead: str) -> Block:
    said = {name: value for name, value in it.items() if name != "cache_control"}
    mark = it.get("cache_control")
    return Block(f"{role} {said}", it.get("type", "tool"), mark and mark.get("ttl", "5m"), lead)
