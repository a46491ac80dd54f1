"""Which upstreams serve a model: exact names before patterns, patterns in the order of the file."""

from collections.abc import Iterable
from typing import Literal, TypeAlias

from msgspec import Struct

from nexusflow_core.errors import ConfigError, NotFound
from nexusflow_core.upstream import Upstream

__all__ = ["Options", "Retry", "Route", "Router", "Target", "Thinking", "ToolImages"]

Thinking: TypeAlias = Literal["keep", "strip"]
"""What becomes of signed thinking that a target refuses: `keep` lets the refusal stand, and stops a fallback to
another model; `strip` takes the thinking out, and asks the same target once more."""

ToolImages: TypeAlias = Literal["hoist", "inline", "bridge", "placeholder"]
"""Where images in a tool's result go: into the user's message after it; there; there, but behind a short
assistant's message; nowhere."""


class Options(Struct, frozen=True, kw_only=True):
    """What an operator decides about translated calls. Relayed ones know `count_tokens` alone."""

    max_tokens: int | None = None
    """Most that the model can write; a request for more gets as much."""
    images: Literal["send", "omit"] = "send"
    """`omit`: the model sees no images; a text in their place says so."""
    tool_images: ToolImages | None = None
    """None: as the vendor's row says."""
    server_tools: Literal["refuse", "drop"] = "refuse"
    """What becomes of tools that only Anthropic can run."""
    count_tokens: Literal["estimate"] | None = None
    """`estimate`: where the upstream has no counter, tokens are estimated; None: it is a 404."""


class Target(Struct, frozen=True):
    """One upstream of a route. `model` is the name that it knows the model by; None keeps the client's.
    `strict`: on a translated call, refuse what cannot be carried and could change the answer."""

    upstream: Upstream
    model: str | None = None
    strict: bool = False
    options: Options = Options()


class Retry(Struct, frozen=True, forbid_unknown_fields=True):
    """What one call may spend on failures before its first byte, over all its targets together.

    `attempts` None: 3, or one a target where there are more. `deadline`: seconds from the call's arrival until
    its last attempt is ended. `max_wait`: the longest `retry-after` that is waited for. `backoff`: the first
    wait where an upstream states none; each further one is twice as long.
    """

    attempts: int | None = None
    deadline: float = 3600.0
    max_wait: float = 20.0
    backoff: float = 0.5


class Route(Struct, frozen=True):
    """A model name, or a pattern in which `*` stands for any characters, and the targets tried in order.
    `display_name`: what the model list calls it. Without targets its models are unknown: all were left out."""

    model: str
    targets: tuple[Target, ...]
    retry: Retry = Retry()
    thinking: Thinking = "keep"
    display_name: str | None = None

    @property
    def exact(self) -> bool:
        return "*" not in self.model


class Router:
    """Finds the route of a model name. Raises ConfigError for two routes of the same name."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._exact: dict[str, Route] = {}
        self._patterns: list[tuple[_Pattern, Route]] = []
        seen: set[str] = set()
        for index, route in enumerate(self.routes):
            if route.model in seen:
                raise ConfigError(f"routes[{index}].model", f"{route.model!r} has a route already")
            seen.add(route.model)
            if route.exact:
                self._exact[route.model] = route
            else:
                self._patterns.append((_Pattern(route.model), route))

    def find(self, model: str) -> Route:
        """Returns the route of `model`. Raises NotFound (404) in Anthropic's words.

        A route without targets raises it too: its models go to no other route, where nobody expects them.
        """
        route = self._exact.get(model) or self._matching(model)
        if route is None or not route.targets:
            raise NotFound(f"model: {model[:200]}")
        return route

    def serves(self, model: str) -> bool:
        """Whether a route of `model` exists."""
        route = self._exact.get(model) or self._matching(model)
        return route is not None and bool(route.targets)

    def _matching(self, model: str) -> Route | None:
        for pattern, route in self._patterns:
            if pattern.matches(model):
                return route
        return None


class _Pattern:
    """Stars stand for any characters. No regular expression: those try each way to share a name between several
    stars, in a time that grows with its square or worse."""

    def __init__(self, pattern: str) -> None:
        self._first, *self._between, self._last = pattern.split("*")

    def matches(self, model: str) -> bool:
        at, end = len(self._first), len(model) - len(self._last)
        if at > end or not model.startswith(self._first) or not model.endswith(self._last):
            return False
        for part in self._between:  # the first place leaves most room for the next
            found = model.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return True
