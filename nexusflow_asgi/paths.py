"""Matches a path to an endpoint, in every form in which hosts pass it."""

from typing import Any, Final, Literal, NamedTuple, TypeAlias

from starlette.types import Scope

__all__ = ["MAX_PATH", "Match", "Place", "match_path", "match_scope"]

MAX_PATH: Final = 2048
"""Bound on the characters of a path, mount included. A longer path is refused before it is compared."""

Place: TypeAlias = Literal[
    "messages", "count_tokens", "models", "model", "health", "ready", "home", "unserved", "unknown", "too_long"
]


class Match(NamedTuple):
    """An endpoint, and the model id at the end of the path, if it has one.

    `home`: the root of the mount, the prefix, or the gateway alone. `unserved`: a path of Anthropic's API that
    this gateway does not serve. `too_long`: a path over MAX_PATH. `unknown`: any other path.
    """

    place: Place
    model: str = ""


_PLACES: dict[tuple[str, ...], Place] = {
    (): "home",
    ("v1", "messages"): "messages",
    ("messages",): "messages",
    ("v1", "messages", "count_tokens"): "count_tokens",
    ("messages", "count_tokens"): "count_tokens",
    ("v1", "models"): "models",
    ("health",): "health",
    ("ready",): "ready",
}
_FAST = {"/" + "/".join(segments): Match(place) for segments, place in _PLACES.items()}
_LONGEST = max(len(segments) for segments in _PLACES)
_UNSERVED = {("v1", "messages", "batches"), ("v1", "files"), ("v1", "skills"), ("v1", "complete")}
_UNKNOWN = Match("unknown")


def match_scope(scope: Scope, prefix: str, app: object, *, middleware: bool) -> Match | None:
    """Returns the endpoint of a request to `app`; None if a middleware must pass it on to the host.

    A router may pick `app` for a whole route, without a mount. It has checked the part before the endpoint,
    which then counts as our root.
    """
    path: str = scope["path"]
    root_path: str = scope.get("root_path", "")
    if not (middleware or prefix or root_path or "endpoint" in scope):  # alone on a server
        match = _FAST.get(path)
        if match is not None and b"%" not in (scope.get("raw_path") or b""):
            return match
    if (
        not middleware
        and scope.get("endpoint") is app
        and "app_root_path" not in scope
        and len(path) <= MAX_PATH
    ):
        root_path = _root_of_route(path, root_path, scope.get("path_params") or {})
    above: str = scope.get("app_root_path", "").rstrip("/")
    if above and root_path.startswith(above) and _behind(path[:MAX_PATH], root_path.rstrip("/")) is None:
        root_path = root_path[len(above) :]  # a proxy removed the server's root, but not the mount's path
    return match_path(path, root_path, prefix, middleware=middleware, raw_path=scope.get("raw_path"))


def match_path(
    path: str, root_path: str, prefix: str, *, middleware: bool, raw_path: bytes | None = None
) -> Match | None:
    """Returns the endpoint of a path; None if a middleware must pass it on to the host.

    Hosts differ: `path` may or may not include `root_path`. The rest after root path and prefix must be a whole
    endpoint, so that a proxy's rules on path prefixes hold. Empty segments are ignored only after the prefix:
    joined base URLs have them. Outside a model id, `%2F` makes a path unknown. A middleware without a prefix
    owns only the `/v1/` endpoints.
    """
    long = len(path) > MAX_PATH
    under = _under(path[:MAX_PATH], root_path, prefix.strip("/"))
    if under is None:  # not ours, or cut within a segment: Litestar's mount of /llm also matches /llmfoo
        return None if middleware else Match("too_long") if long else _UNKNOWN
    if middleware and not prefix.strip("/"):
        match = _UNKNOWN if long else _exactly(under, raw_path)
        return match if under.lstrip("/").startswith("v1/") and _is_served(match) else None
    return Match("too_long") if long else _exactly(under, raw_path)


def _is_served(match: Match) -> bool:
    return match.place not in ("unknown", "unserved")


def _under(path: str, root_path: str, prefix: str) -> str | None:
    """Returns the rest after root path and prefix, with its slash; None if the path lacks them."""
    if not path.startswith("/"):
        return None
    root = root_path.rstrip("/")
    rest = _behind(path, root) if root else path
    if rest is None:
        rest = path  # the host, or a proxy before it, removed the root
    if not prefix:
        return rest
    under = _behind(rest, "/" + prefix)
    if under is None and root.endswith("/" + prefix):  # the mount has the prefix's name
        return rest
    return under


def _behind(path: str, front: str) -> str | None:
    """Returns the rest of a path after these whole segments, or None."""
    rest = path[len(front) :]
    return rest if path.startswith(front) and rest[:1] in ("", "/") else None


def _exactly(under: str, raw_path: bytes | None) -> Match:
    match = _FAST.get(under) or _by_segments(tuple([segment for segment in under.split("/") if segment]))
    if raw_path and b"%" in raw_path and _hides_a_slash(raw_path, match):
        return _UNKNOWN
    return match


def _by_segments(segments: tuple[str, ...]) -> Match:
    if place := _PLACES.get(segments):
        return Match(place)
    if segments[:2] == ("v1", "models"):
        return Match("model", "/".join(segments[2:]))  # an id may contain slashes
    unserved = any(segments[: len(path)] == path for path in _UNSERVED)
    return Match("unserved") if unserved else _UNKNOWN


def _hides_a_slash(raw_path: bytes, match: Match) -> bool:
    """True if the path has an encoded slash outside a model id."""
    raw = raw_path.lower()
    return b"%2f" in (raw.partition(b"/models/")[0] if match.place == "model" else raw)


def _root_of_route(path: str, root_path: str, params: dict[str, Any]) -> str:
    """Returns the part before ours of a path matched by a route such as `/llm/{rest:path}` or
    `/llm/v1/messages`."""
    for value in params.values():
        if isinstance(value, str) and path.endswith("/" + value):
            return path[: -len(value) - 1]
    segments = [segment for segment in path.split("/") if segment]
    for length in range(min(_LONGEST, len(segments)), 0, -1):
        tail = "/" + "/".join(segments[-length:])
        if tail in _FAST and path.endswith(tail):
            return path[: -len(tail)]
    return root_path
