"""Which of our endpoints a path means, in whatever form a host hands it over."""

from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

__all__ = ["Match", "Place", "match_path"]

Place: TypeAlias = Literal["messages", "count_tokens", "models", "model", "health", "unserved", "unknown"]


class Match(NamedTuple):
    """An endpoint, and the model id where the path ends in one. `unserved` is a path of Anthropic's that this
    gateway does not serve, `unknown` any other."""

    place: Place
    model: str = ""


_PLACES: dict[tuple[str, ...], Place] = {
    ("v1", "messages"): "messages",
    ("messages",): "messages",
    ("v1", "messages", "count_tokens"): "count_tokens",
    ("messages", "count_tokens"): "count_tokens",
    ("v1", "models"): "models",
    ("health",): "health",
}
_UNSERVED = {("v1", "messages", "batches"), ("v1", "files"), ("v1", "skills"), ("v1", "complete")}


@lru_cache(maxsize=1024)
def match_path(path: str, root_path: str, prefix: str, *, middleware: bool) -> Match | None:
    """The endpoint that a path means; None where a middleware must hand it on to the host.

    Hosts differ: `root_path` may or may not still stand in `path`, a mount may have added or removed slashes.
    So empty segments count for nothing, and without a host behind us the tail of the path decides. As a
    middleware we own what is under `prefix`, or with no prefix just the `/v1/` endpoints themselves.
    """
    if not path.startswith("/"):  # Litestar's mount of /llm takes /llmfoo too, and hands over "foo"
        return None if middleware else Match("unknown")
    segments = _without(_split(path), _split(root_path))
    under = _without(segments, _split(prefix))
    if not middleware:
        return _by_tail(under)
    if prefix.strip("/"):
        owned = len(under) < len(segments)
        return _exactly(under) if owned else None
    match = _exactly(segments)
    served = segments[:1] == ("v1",) and match.place not in ("unknown", "unserved")
    return match if served else None


def _split(path: str) -> tuple[str, ...]:
    return tuple(segment for segment in path.split("/") if segment)


def _without(segments: tuple[str, ...], front: tuple[str, ...]) -> tuple[str, ...]:
    return segments[len(front) :] if segments[: len(front)] == front else segments


def _exactly(segments: tuple[str, ...]) -> Match:
    if place := _PLACES.get(segments):
        return Match(place)
    if segments[:2] == ("v1", "models"):
        return Match("model", "/".join(segments[2:]))  # an id may have slashes of its own
    unserved = any(segments[: len(path)] == path for path in _UNSERVED)
    return Match("unserved" if unserved else "unknown")


def _by_tail(segments: tuple[str, ...]) -> Match:
    for start in range(len(segments)):
        match = _exactly(segments[start:])
        if match.place != "unknown":
            return match
    return Match("unknown")
