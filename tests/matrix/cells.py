"""Every cell of the matrix: which example of a host, on which server, on which Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from tests.matrix.environments import PYTHONS


class Form(NamedTuple):
    """A way to be in a host: an example of tests/hosts, and the path of the gateway there."""

    host: str  # the environment's name
    way: str
    app: str
    prefix: str
    python: str = PYTHONS[0]
    alone: bool = False
    no_trio: str = ""  # why the host itself does not run there


_NO_TRIO = {
    "django": "Django itself runs on asyncio alone",
    "quart": "Quart itself runs on asyncio alone (quart-trio is another package)",
}
FORMS = [
    Form("starlette", "Mount", "starlette_mount:app", "/llm"),
    Form("starlette", "nested Mount", "starlette_nested:app", "/api/llm"),
    Form("starlette", "add_middleware", "starlette_middleware:app", "/llm"),
    Form("fastapi", "mount", "fastapi_mount:app", "/llm"),
    Form("fastapi", "add_middleware", "fastapi_middleware:app", "/llm"),
    Form("litestar", "asgi(is_mount=True)", "litestar_mount:app", "/llm"),
    Form("litestar", "outside", "litestar_outside:app", "/llm"),
    Form("django-5.2", "outside", "django_project.asgi:application", "/llm", no_trio=_NO_TRIO["django"]),
    Form("django-6", "outside", "django_project.asgi:application", "/llm", "3.12", no_trio=_NO_TRIO["django"]),
    Form("quart", "outside", "quart_outside:app", "/llm", no_trio=_NO_TRIO["quart"]),
    Form("starlette", "no host", "alone:app", "/llm", alone=True),
]


class Server(NamedTuple):
    """A server's command line. `cut` makes it end streams at shutdown, after a second or at once."""

    name: str
    package: str
    command: Callable[[str, int], list[str]]
    cut: Sequence[str] = ()
    trio: bool = False
    root_path: str = "--root-path"

    @property
    def column(self) -> str:
        """Returns the column of this server and its variants in docs/hosts.md."""
        return f"{self.package} on trio" if self.trio else self.package

    def line(self, app: str, port: int, extra: Sequence[str] = ()) -> list[str]:
        return [*self.command(app, port), *extra]


def _uvicorn(http: str, loop: str) -> Server:
    options = ["--http", http, "--loop", loop, "--log-level", "warning"]
    return Server(
        f"uvicorn ({http}, {loop})",
        "uvicorn",
        lambda app, port: ["uvicorn", app, "--host", "127.0.0.1", "--port", str(port), *options],
        cut=["--timeout-graceful-shutdown", "1"],
    )


def _granian(loop: str) -> Server:
    options = ["--interface", "asgi", "--loop", loop, "--log-level", "warning"]
    return Server(
        f"granian ({loop})",
        "granian",
        lambda app, port: ["granian", app, "--host", "127.0.0.1", "--port", str(port), *options],
        root_path="--url-path-prefix",
    )


def _hypercorn(worker: str) -> Server:
    return Server(
        f"hypercorn ({worker})",
        "hypercorn",
        lambda app, port: ["hypercorn", app, "--bind", f"127.0.0.1:{port}", "--worker-class", worker],
        cut=["--graceful-timeout", "1"],
        trio=worker == "trio",
    )


SERVERS = [
    *(_uvicorn(http, loop) for http in ("h11", "httptools") for loop in ("asyncio", "uvloop")),
    _granian("asyncio"),
    _granian("uvloop"),
    _hypercorn("asyncio"),
    _hypercorn("trio"),
    Server(
        "daphne",
        "daphne",
        lambda app, port: ["daphne", "--bind", "127.0.0.1", "--port", str(port), "--verbosity", "0", app],
    ),
]
_BY_NAME = {server.name: server for server in SERVERS}


class Cell(NamedTuple):
    """One form on one server and one Python; `skip` says why it cannot run."""

    form: Form
    server: Server
    environment: str
    python: str
    smoke: bool = False
    skip: str = ""

    @property
    def id(self) -> str:
        return f"{self.environment} {self.form.way}-{self.server.name}-py{self.python}"

    @property
    def result(self) -> tuple[str, ...]:
        """Where its results belong: see tests/matrix/results.py."""
        return "hosts", self.environment, self.form.way, self.server.name, self.python

    @property
    def why_no_end(self) -> str:
        """Why a stream cannot come to its own end at shutdown, "" where it can."""
        return "daphne ends every stream at once" if self.server.package == "daphne" else ""

    @property
    def why_no_cut(self) -> str:
        """Why a stream cannot be cut at shutdown with its record written, "" where it can."""
        if self.server.package == "granian":
            return (
                "granian waits for a stream's end without limit; "
                "with --workers-kill-timeout it kills the worker, and the record is lost"
            )
        if self.server.name == "hypercorn (asyncio)" and self.python != "3.11":
            return "hypercorn on asyncio waits for a stream's end without limit from Python 3.12 on"
        return ""


def _cells() -> Iterator[Cell]:
    for form in FORMS:
        for server in SERVERS:
            yield Cell(form, server, form.host, form.python, skip=form.no_trio if server.trio else "")
    httptools = _BY_NAME["uvicorn (httptools, uvloop)"]
    for form in FORMS[:3]:
        yield Cell(form, httptools, "lowest", PYTHONS[0])
    for python in PYTHONS:
        django = FORMS[7] if python == "3.11" else FORMS[8]
        for form, server in (
            (FORMS[0], httptools),
            (FORMS[2], _BY_NAME["hypercorn (trio)"]),
            (django, _BY_NAME["daphne"]),
            (FORMS[-1], _BY_NAME["granian (asyncio)"]),
        ):
            yield Cell(form, server, form.host, python, smoke=True)


def _once(cells: Iterator[Cell]) -> list[Cell]:
    """A smoke cell that is in the matrix anyway stands there once, as a smoke cell."""
    by_id: dict[str, Cell] = {}
    for cell in cells:
        by_id[cell.id] = cell
    return list(by_id.values())


CELLS = _once(_cells())
