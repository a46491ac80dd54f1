"""Routes: the upstreams that serve a model. Exact names precede patterns; patterns keep the file's order."""

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from nexusflow_core.errors import ConfigError, NotFoundError
from nexusflow_core.upstream import Upstream

__all__ = [
    "ModelPattern",
    "ModelRoute",
    "Retry",
    "Router",
    "ServerTools",
    "Target",
    "TargetOptions",
    "Thinking",
    "ToolImages",
    "allows",
]

Thinking: TypeAlias = Literal["keep", "strip"]
"""For signed thinking that a target refuses. `keep`: the refusal is the answer, and no other model is tried.
`strip`: the thinking is removed, and the same target is asked once more."""

ToolImages: TypeAlias = Literal["hoist", "inline", "bridge", "placeholder"]
"""For images in a tool result. `hoist`: moved to the user message after it. `inline`: left in it. `bridge`: as
hoist, after a short assistant message. `placeholder`: replaced by a text."""

ServerTools: TypeAlias = Literal["refuse", "drop", "carry"]
"""For tools that only Anthropic can run. `refuse`: refuse the call. `drop`: drop the tool. `carry`: use the
vendor's own tool where it has one of that kind, else refuse."""


class TargetOptions(Struct, frozen=True, kw_only=True):
    """An operator's choices for translated calls. Relayed calls use only `count_tokens`."""

    max_tokens: int | None = None
    """The model's output limit in tokens. A request for more gets this many."""
    images: Literal["send", "omit"] = "send"
    """`omit`: images are replaced by a text that says so."""
    tool_images: ToolImages | None = None
    """Where images in tool results go. None: the vendor's default, `hoist` for most."""
    server_tools: ServerTools = "refuse"
    count_tokens: Literal["estimate"] | None = None
    """`estimate`: estimates tokens if the upstream cannot count them. None: answers 404."""


class Target(Struct, frozen=True):
    """One upstream of a route. `model` is the upstream's name for the model; None keeps the client's name.

    `strict`: refuses a translated call if a dropped field could change the answer.
    """

    upstream: Upstream
    model: str | None = None
    strict: bool = False
    options: TargetOptions = TargetOptions()


class Retry(Struct, frozen=True, forbid_unknown_fields=True):
    """The budget of one call for failures before its first byte, over all its targets.

    `attempts`: None means 3, or one per target if there are more. `deadline`: seconds from the call's arrival
    to the end of its last attempt. `max_wait`: the longest `retry-after`, in seconds, to wait for. `backoff`:
    seconds of the first wait if the upstream states none; each further wait doubles.
    """

    attempts: int | None = None
    deadline: float = 3600.0
    max_wait: float = 20.0
    backoff: float = 0.5


class ModelRoute(Struct, frozen=True):
    """A model name, or a pattern in which `*` matches any characters, and the targets to try in order.

    `display_name` is for the model list. Without targets (all were left out) its models are unknown.
    """

    model: str
    targets: tuple[Target, ...]
    retry: Retry = Retry()
    thinking: Thinking = "keep"
    display_name: str | None = None

    @property
    def exact(self) -> bool:
        """True for a name, False for a pattern."""
        return "*" not in self.model


_REMEMBERED = 512
"""Bound on the names for which a router remembers the pattern's route."""

_LONGEST_REMEMBERED = 100
"""Bound on the characters of such a name."""


class Router:
    """Finds the route of a model name. Raises ConfigError if two routes have the same name."""

    def __init__(self, routes: Iterable[ModelRoute]) -> None:
        self.routes = tuple(routes)
        self._exact: dict[str, ModelRoute] = {}
        self._patterns: list[tuple[ModelPattern, ModelRoute]] = []
        self._matched: dict[str, ModelRoute] = {}
        seen: set[str] = set()
        for index, route in enumerate(self.routes):
            if route.model in seen:
                raise ConfigError(f"routes[{index}].model", f"{route.model!r} has a route already")
            seen.add(route.model)
            if route.exact:
                self._exact[route.model] = route
            else:
                self._patterns.append((ModelPattern(route.model), route))

    def find(self, model: str) -> ModelRoute:
        """Returns the route of `model`. Raises NotFoundError (404) with Anthropic's error text.

        A route without targets also raises it: falling through to another route would surprise the operator.
        """
        route = self._exact.get(model) or self._matched.get(model) or self._matching(model)
        if route is None or not route.targets:
            raise NotFoundError(f"model: {model[:200]}")
        return route

    def serves(self, model: str) -> bool:
        """True if a route with targets serves `model`."""
        route = self._exact.get(model) or self._matching(model)
        return route is not None and bool(route.targets)

    def _matching(self, model: str) -> ModelRoute | None:
        for pattern, route in self._patterns:
            if pattern.matches(model):
                if len(model) <= _LONGEST_REMEMBERED and len(self._matched) < _REMEMBERED:
                    self._matched[model] = route
                return route
        return None


def allows(models: Sequence[str], model: str) -> bool:
    """True if one of these names and patterns matches the model, or if there are none."""
    return not models or any(
        ModelPattern(name).matches(model) if "*" in name else name == model for name in models
    )


class ModelPattern:
    """A pattern with stars, matched without a regular expression.

    With several stars those try every split of a name: the time grows with its square or worse.
    """

    def __init__(self, pattern: str) -> None:
        self._first, *self._between, self._last = pattern.split("*")

    def matches(self, model: str) -> bool:
        """True if the pattern matches the name, or matches all that another pattern can match."""
        at, end = len(self._first), len(model) - len(self._last)
        if at > end or not model.startswith(self._first) or not model.endswith(self._last):
            return False
        for part in self._between:  # the leftmost match leaves most room for the next part
            found = model.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return True
