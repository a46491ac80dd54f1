"""Which endpoint a path means: the documented ones, in every form that hosts hand over, and nothing else."""

from __future__ import annotations

import gc
import tracemalloc
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusflow_asgi.paths import MAX_PATH, Match, match_path

SERVED = {
    "/v1/messages": Match("messages"),
    "/messages": Match("messages"),
    "/v1/messages/count_tokens": Match("count_tokens"),
    "/messages/count_tokens": Match("count_tokens"),
    "/v1/models": Match("models"),
    "/v1/models/claude-opus-4-7": Match("model", "claude-opus-4-7"),
    "/v1/models/qwen/qwen3": Match("model", "qwen/qwen3"),
    "/health": Match("health"),
    "/ready": Match("ready"),
    "/": Match("home"),
}
UNSERVED = [
    "/v1/messages/batches",
    "/v1/messages/batches/b_1/results",
    "/v1/files",
    "/v1/files/f_1",
    "/v1/complete",
]
UNKNOWN = [
    "",
    "/v1",
    "/v1/message",
    "/v1/messagesx",
    "/v1/messages/x",
    "/v1/messages/count_tokens/x",
    "/v1/model",
    "/models",
    "/models/claude-x",
    "/V1/MESSAGES",
    "/v1/Messages",
    "/healthz",
    "/health/x",
    "/readyz",
    "/ready/x",
    "/v1/ready",
    "/v1/messages.json",
    "/v1/messages;x",
    "/v1%2Fmessages",
    "/docs",
    "/metrics",
    "/admin",
]


@pytest.mark.parametrize(("path", "match"), SERVED.items())
def test_the_documented_paths(path: str, match: Match) -> None:
    """Alone without a prefix, the documented paths are ours."""
    assert match_path(path, "", "", middleware=False) == match


@pytest.mark.parametrize("path", UNSERVED)
def test_paths_of_anthropics_that_are_not_served(path: str) -> None:
    """They are known, so that the answer can say that they are not served."""
    assert match_path(path, "", "", middleware=False) == Match("unserved")


@pytest.mark.parametrize("path", UNKNOWN)
def test_nothing_else_is_an_endpoint(path: str) -> None:
    """Neither case, nor a longer or shorter name, nor an encoded slash makes an endpoint."""
    assert match_path(path, "", "", middleware=False) == Match("unknown")


@pytest.mark.parametrize(
    ("path", "root_path"),
    [
        ("/llm/v1/messages", "/llm"),  # Starlette, FastAPI: a mount leaves the whole path
        ("/v1/messages", "/llm"),  # a host that takes the root away, or hypercorn --root-path
        ("/v1/messages/", ""),  # Litestar: the prefix taken away, a slash added
        ("/llm/v1/messages/", "/llm/"),
        ("/api/llm/v1/messages", "/api/llm"),  # a mount in a mount
        ("/px/llm/v1/messages", "/px/llm"),  # uvicorn --root-path puts it in front
        ("//v1/messages", ""),  # litellm with a trailing slash in its api_base
        ("/llm//v1//messages//", "/llm"),
        ("/llm/messages", "/llm"),
    ],
)
def test_every_form_of_a_mount(path: str, root_path: str) -> None:
    """`root_path` may or may not stand in `path`, and slashes come and go."""
    assert match_path(path, root_path, "", middleware=False) == Match("messages")


@pytest.mark.parametrize(
    ("path", "root_path"),
    [
        ("/llm/v1/messages", ""),
        ("/px/llm/v1/messages", "/px"),
        ("/x/y/z/messages", ""),
        ("/x/y/z/messages", "/x"),
        ("/llm/v1/v1/messages", "/llm"),
        ("/public/health", ""),
        ("/public/v1/models", ""),
        ("/public/v1/models/claude-x", ""),
        ("//llm/v1/messages", "/llm"),
        ("/llmfoo/v1/messages", "/llm"),
        ("/x/../v1/messages", ""),
        ("/./v1/messages", ""),
    ],
)
def test_the_end_of_a_path_is_not_enough(path: str, root_path: str) -> None:
    """A proxy that lets only some beginnings of paths through is not passed by with another beginning."""
    assert match_path(path, root_path, "", middleware=False) == Match("unknown")


@pytest.mark.parametrize("path", ["v1/messages", "v1/messages/", "foo/v1/messages/", "foo"])
@pytest.mark.parametrize("prefix", ["", "/llm"])
def test_half_a_segment_is_no_mount(path: str, prefix: str) -> None:
    """Litestar's mount of /llm also takes /llmv1/messages, and cuts it in the middle of a segment."""
    assert match_path(path, "", prefix, middleware=False) == Match("unknown")
    assert match_path(path, "", prefix, middleware=True) is None


@pytest.mark.parametrize(
    ("path", "root_path"),
    [
        ("/llm/v1/messages", ""),
        ("/llm///v1//messages/", ""),
        ("/px/llm/v1/messages", "/px"),
        ("/llm/v1/messages", "/px"),
        ("/llm/v1/messages", "/llm"),  # mounted under the name that the prefix has
        ("/px/llm/v1/messages", "/px/llm"),
    ],
)
def test_alone_under_a_prefix(path: str, root_path: str) -> None:
    """Alone, too, the prefix may stand behind a root path, or be the mount's own."""
    assert match_path(path, root_path, "/llm", middleware=False) == Match("messages")


@pytest.mark.parametrize(
    "path", ["/v1/messages", "//llm/v1/messages", "/x/llm/v1/messages", "/v1/llm/messages"]
)
def test_alone_nothing_is_served_beside_the_prefix(path: str) -> None:
    """A guard in front that asks whether a path begins with the prefix misses no call."""
    assert match_path(path, "", "/llm", middleware=False) == Match("unknown")


@pytest.mark.parametrize("middleware", [False, True])
@pytest.mark.parametrize(
    ("raw", "match"),
    [
        (b"/llm/v1/models/qwen%2Fqwen3", Match("model", "qwen/qwen3")),  # as SDKs write an id with a slash
        (b"/llm/v1/models/qwen%2fqwen3%2fx", Match("model", "qwen/qwen3/x")),
        (b"/llm/v1/mess%61ges", Match("messages")),
        (b"/llm/v1%2Fmessages", None),
        (b"/llm%2fv1/messages", None),
        (b"/llm/%2Fv1/messages", None),
        (b"/llm/v1/messages%2F", None),
        (b"/llm/v1%2fmodels/qwen%2fqwen3", None),
        (b"%2Fllm/v1/messages", None),
    ],
)
def test_an_encoded_slash_is_no_separator(raw: bytes, match: Match | None, middleware: bool) -> None:
    """A proxy in front compares the path as it was sent; only a model id may hold a slash that is encoded."""
    path = unquote(raw.decode())
    got = match_path(path, "", "/llm", middleware=middleware, raw_path=raw)
    assert got == (match or Match("unknown"))


@pytest.mark.parametrize(
    ("path", "middleware", "match"),
    [
        ("/llm" + "/a" * 31_000, False, "too_long"),
        ("/llm" + "/a" * 31_000, True, "too_long"),
        ("/llm/v1/models/" + "x" * MAX_PATH, True, "too_long"),
        ("/a" * 31_000, False, "too_long"),
        ("/a" * 31_000, True, None),
        ("/llm/v1/models/" + "x" * (MAX_PATH - 15), False, "model"),
    ],
)
def test_the_length_of_a_path_has_a_bound(path: str, middleware: bool, match: str | None) -> None:
    """One more character than MAX_PATH is too many; what is not under the prefix stays the host's."""
    got = match_path(path, "", "/llm", middleware=middleware)
    assert (got and got.place) == match


def test_paths_are_not_kept() -> None:
    """A thousand long paths of strangers leave nothing behind."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(1024):
            match_path(f"/{number}" + "\N{GRINNING FACE}" * 10_000, "", "", middleware=False)
            match_path(f"/v1/models/{number}" + "\N{GRINNING FACE}" * 1_000, "", "", middleware=False)
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("prefix", ["/llm", "llm", "/llm/", "//llm//"])
@pytest.mark.parametrize(
    ("path", "match"),
    [
        ("/llm/v1/messages", Match("messages")),
        ("/llm/messages", Match("messages")),
        ("/llm//v1/models/", Match("models")),
        ("/llm/v1/models/claude-x", Match("model", "claude-x")),
        ("/llm/health", Match("health")),
        ("/llm/ready", Match("ready")),
        ("/llm/v1/files", Match("unserved")),
        ("/llm", Match("home")),
        ("/llm/", Match("home")),
        ("/llm//", Match("home")),
        ("/llm/docs", Match("unknown")),
        ("/llm/x/v1/messages", Match("unknown")),  # no tail here: what is under the prefix is exact
        ("/v1/messages", None),
        ("/messages", None),
        ("/health", None),
        ("/ready", None),
        ("/", None),
        ("/llmfoo/v1/messages", None),  # only whole segments make a prefix
        ("/ll/m/v1/messages", None),
        ("/x/llm/v1/messages", None),
        ("//llm/v1/messages", None),  # the host's guard of /llm would not see it
        ("/llm%2Fv1/messages", None),
    ],
)
def test_as_a_middleware_with_a_prefix(prefix: str, path: str, match: Match | None) -> None:
    """All that is under the prefix is ours, the rest is the host's, however the prefix is written."""
    assert match_path(path, "", prefix, middleware=True) == match


@pytest.mark.parametrize(
    ("path", "root_path", "match"),
    [
        ("/api/llm/v1/messages", "/api", Match("messages")),
        ("/llm/v1/messages", "/api", Match("messages")),
        ("/api/v1/messages", "/api", None),
        ("/apillm/v1/messages", "/api", None),
    ],
)
def test_as_a_middleware_in_a_mounted_app(path: str, root_path: str, match: Match | None) -> None:
    """The prefix begins where the root path ends."""
    assert match_path(path, root_path, "/llm", middleware=True) == match


@pytest.mark.parametrize(
    ("path", "root_path"),
    [("/llm", "/llm"), ("/llm/", "/llm"), ("/", "/llm"), ("/llm/", "/llm/"), ("/a/llm", "/a/llm"), ("/", "")],
)
def test_the_root_of_a_mount(path: str, root_path: str) -> None:
    """With and without its slash, whether the host has taken the root path away or not."""
    assert match_path(path, root_path, "", middleware=False) == Match("home")
    assert match_path(path, root_path, "", middleware=True) is None


@pytest.mark.parametrize("prefix", ["", "/"])
def test_as_a_middleware_without_a_prefix(prefix: str) -> None:
    """Only the /v1 endpoints are taken: no alias, no health, and none of the host's paths under /v1."""
    mine = {path: match_path(path, "", prefix, middleware=True) for path in [*SERVED, *UNSERVED, *UNKNOWN]}
    assert {path: match for path, match in mine.items() if match is not None} == {
        path: match for path, match in SERVED.items() if path.startswith("/v1/")
    }


@given(st.text(alphabet="/v1mesagl%.é ", max_size=40), st.sampled_from(["", "/llm", "/a/b"]), st.booleans())
def test_slashes_behind_the_prefix_never_matter(rest: str, root_path: str, middleware: bool) -> None:
    """Doubling every slash there and adding one at the end changes nothing, for any path."""
    for prefix in ("", "/llm"):
        plain = match_path(f"{root_path}{prefix}/{rest}", root_path, prefix, middleware=middleware)
        slashes = f"{root_path}{prefix}//{rest.replace('/', '//')}/"
        assert match_path(slashes, root_path, prefix, middleware=middleware) == plain
