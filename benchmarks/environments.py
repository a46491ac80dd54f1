"""Environments of what is compared: each installed once, by pinned version, under the user's cache."""

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = [
    "CCR",
    "CCUSAGE",
    "ENGINES",
    "LITELLM",
    "SMG",
    "SSE_LIBRARIES",
    "Missing",
    "npm_environment",
    "python_environment",
]

LITELLM = (
    "litellm[proxy]==1.108.7",
    "httptools==0.9.0",
    "opentelemetry-sdk==1.45.2",
    "opentelemetry-exporter-otlp==1.45.2",
)
"""With what makes it fast. Without the last two, each request tries an import that fails."""

SMG = ("smg==1.13.0",)
CCR = "@musistudio/claude-code-router@2.0.0"
CCUSAGE = "ccusage@20.0.24"
ENGINES = "numpy==2.4.6 polars==2.1.0 duckdb==2.0.1 pyarrow==26.0.1 msgspec==0.22.0".split()
"""Programs that price tables, in one environment with what the core needs."""

SSE_LIBRARIES = (
    "sse-starlette==3.7.0 fastapi==0.165.0 litestar==2.25.0 httpx-sse==0.4.3 httpx2==2.16.2"
    " anthropic==2.14.0 openai==3.57.0 msgspec==0.22.0"
).split()

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nexusflow-benchmarks"
_SECONDS = 600


class Missing(Exception):
    """Something to compare with is not installed and cannot be. The text is the reason."""


def python_environment(name: str, requirements: Sequence[str]) -> Path:
    """Returns the `bin` folder of a virtual environment. Raises Missing if it cannot be made."""

    def make(folder: Path) -> None:
        venv.create(folder, with_pip=True, clear=True)
        _run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *requirements], folder)

    return _made(name, requirements, make) / "bin"


def npm_environment(name: str, package: str) -> Path:
    """Returns the `node_modules` folder with a package. Raises Missing without npm, or if it cannot be made."""
    npm = shutil.which("npm")
    if npm is None:
        raise Missing("npm is not installed")

    def make(folder: Path) -> None:
        (folder / "package.json").write_text('{"private": true}')
        _run([npm, "install", "--no-audit", "--no-fund", "--loglevel=error", package], folder)

    return _made(name, [package], make) / "node_modules"


def _made(name: str, requirements: Sequence[str], make: Callable[[Path], None]) -> Path:
    """Makes a folder once for its requirements. One that does not end well is thrown away again."""
    folder = _CACHE / name
    done, wanted = folder / "complete", "\n".join(requirements)
    if done.exists() and done.read_text() == wanted:
        return folder
    print(f"making {folder}, once: {', '.join(requirements)}", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        make(folder)
        done.write_text(wanted)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _run(command: Sequence[str | Path], folder: Path) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.CalledProcessError as error:
        last = [line for line in error.stderr.splitlines() if line.strip()][-1:]
        raise Missing(f"its installation failed: {''.join(last)}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"its installation failed: {error}") from None
