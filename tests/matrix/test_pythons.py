"""The suites that must hold on every Python, each run there as it stands."""

from __future__ import annotations

import subprocess

import pytest

from tests.matrix.environments import PYTHONS, ROOT, environment, plain_environ

pytestmark = [pytest.mark.matrix, pytest.mark.smoke]

SUITES = [
    "tests/asgi/test_cross_talk.py",
    "tests/asgi/h1",
    "tests/asgi/test_answer_framing.py",
    "tests/asgi/growth",
    "tests/asgi/test_memory.py",
    "tests/core/test_endings_property.py",
]
"""Files whose tests hang on an event loop, a library's insides or the garbage collector of a Python."""

_SECONDS = 1200


@pytest.mark.parametrize("python", [python for python in PYTHONS if python != PYTHONS[0]])
def test_a_suite_on_another_python(python: str) -> None:
    """The plain suite runs on the first Python alone; these files run on the others too."""
    files = [file for file in SUITES if (ROOT / file).exists()]
    made = environment("suites", python)
    command = [made.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--numprocesses=auto", *files]
    done = subprocess.run(
        command, cwd=ROOT, env=plain_environ(), capture_output=True, text=True, timeout=_SECONDS
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
