"""What docs/deploy holds can be used as it stands, and so can the archives of a release."""

import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.readme import ROOT

DEPLOY = ROOT / "docs" / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
BIN = Path(sys.executable).parent


@pytest.mark.skipif(not (BIN / "hadolint").exists(), reason="hadolint has no build for this platform")
def test_the_dockerfile_is_linted() -> None:
    """By hadolint, without an exception."""
    done = subprocess.run(
        [BIN / "hadolint", DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert done.stdout + done.stderr == ""


def test_the_container_has_no_rights() -> None:
    """It runs as a user of its own, and says whether it is healthy."""
    last = DOCKERFILE[DOCKERFILE.rindex("FROM ") :]
    assert re.search(r"^USER [1-9][0-9]*$", last, re.MULTILINE)
    assert "/health" in last


@pytest.mark.smoke
@pytest.mark.matrix
def test_the_steps_of_the_dockerfile(tmp_path: Path) -> None:
    """Run as a script: what COPY takes is enough to build it, and the entry point starts."""
    source, prefix = tmp_path / "src", tmp_path / "opt"
    source.mkdir()
    build = DOCKERFILE[: DOCKERFILE.rindex("FROM ")].replace("\\\n", " ")
    for words in (line.split()[1:] for line in build.splitlines() if line.startswith("COPY")):
        for name in words[:-1]:
            copied = ROOT / name
            target = source / (words[-1] if copied.is_dir() else name)
            if copied.is_dir():
                shutil.copytree(copied, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(copied, target)
    (run,) = re.findall(r"^RUN (.*)$", build, re.MULTILINE)
    script = run.replace("/opt/nexusflow", str(prefix)).replace("python -m venv", f"{sys.executable} -m venv")
    subprocess.run(["bash", "-ec", script], cwd=source, check=True, capture_output=True)
    entry = re.findall(r'^ENTRYPOINT \["(.*)"\]$', DOCKERFILE, re.MULTILINE)[0]
    command = entry.replace("/opt/nexusflow", str(prefix))
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("nexusflow ")
    subprocess.run([command, "serve", "--help"], capture_output=True, check=True)


@pytest.mark.parametrize("file", ["Dockerfile", "nexusflow.service"])
def test_the_command_that_it_starts_parses(file: str) -> None:
    """Its options exist."""
    from nexusflow_asgi.cli import parser

    if file == "Dockerfile":
        words = re.findall(r'"([^"]+)"', re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[-1])
    else:
        unit = (DEPLOY / file).read_text()
        words = shlex.split(re.findall(r"^ExecStart=\S+ (.*)$", unit, re.MULTILINE)[0])
    assert words[0] == "serve"
    parser().parse_args(words)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
def test_the_unit_is_verified(tmp_path: Path) -> None:
    """systemd finds no mistake in it; the program stands elsewhere here."""
    unit = tmp_path / "nexusflow.service"
    unit.write_text(
        (DEPLOY / "nexusflow.service").read_text().replace("/opt/nexusflow/bin/nexusflow", "/bin/true")
    )
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "nexusflow.service" in line] == []


def test_the_archives(tmp_path: Path) -> None:
    """The wheel has the two packages with their data and nothing else; the sdist can be tested."""
    command = [BIN / "uv", "build", "--no-build-isolation", "--offline", "-q", "-o", tmp_path, ROOT]
    subprocess.run([*command, "--python", sys.executable], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {
        "nexusflow_core",
        "nexusflow_asgi",
        "nexusflow",
    }
    for needed in (
        "nexusflow_core/py.typed",
        "nexusflow_asgi/py.typed",
        "nexusflow_core/prices/data/anthropic.json",
    ):
        assert needed in names
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    assert {
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "tests",
        "docs",
        "benchmarks",
        "constraints.txt",
    } <= inside
