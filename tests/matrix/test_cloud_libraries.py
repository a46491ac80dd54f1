"""The libraries of clouds themselves: they fetch tokens, and AWS's own encoder agrees with our decoder."""

from __future__ import annotations

import subprocess

import pytest

from tests.matrix.environments import ROOT, environment, plain_environ

pytestmark = pytest.mark.matrix


def printed(script: str) -> list[str]:
    """The lines that a script prints in the environment of clouds."""
    command = [environment("clouds").python, ROOT / "tests/matrix/apps" / script]
    environ = plain_environ({"PYTHONPATH": str(ROOT)})
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_frames_of_awscrt_are_read() -> None:
    """With headers of every type, in any pieces."""
    assert printed("awscrt_frames.py") == ["100"]


def test_tokens_are_fetched_by_the_libraries_of_google_and_azure() -> None:
    """From a server on this machine. A refusal is a failure, and a refused token is fetched anew."""
    assert printed("cloud_tokens.py") == ["GoogleCredentials", "AzureCredentials"]
