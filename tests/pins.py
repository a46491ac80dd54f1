"""The versions that the tests are known to pass with, for pip in constraints.txt and for uv in pyproject.toml.

`python -m tests.pins` writes both from uv.lock; with `--upgrade` it looks for newer versions first.
"""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
PYPROJECT = ROOT / "pyproject.toml"

_HEAD = """\
# Versions that the tests are known to pass with, on Python 3.11 to 3.13; written by `python -m tests.pins`.
# For pip: `pip install -c constraints.txt ...`. For uv they stand in pyproject.toml.
"""
_LIST = re.compile(r"^constraint-dependencies = \[\n(.*?)^\]\n", re.DOTALL | re.MULTILINE)
_EXPORT = """uv export --quiet --no-hashes --no-annotate --no-header --no-emit-project --no-emit-workspace
    --all-extras --all-groups""".split()


def pins_for_pip() -> list[str]:
    """The lines of constraints.txt."""
    return [line for line in CONSTRAINTS.read_text().splitlines() if line and not line.startswith("#")]


def pins_for_uv() -> list[str]:
    """The list in pyproject.toml."""
    found = _LIST.search(PYPROJECT.read_text())
    assert found, "pyproject.toml has no constraint-dependencies"
    return re.findall(r'^    "(.*)",$', found[1], re.MULTILINE)


def write(pins: list[str]) -> None:
    """Writes both."""
    CONSTRAINTS.write_text(_HEAD + "".join(f"{pin}\n" for pin in pins))
    inner = "".join(f'    "{pin}",\n' for pin in pins)
    PYPROJECT.write_text(_LIST.sub(lambda _: f"constraint-dependencies = [\n{inner}]\n", PYPROJECT.read_text()))


def exported() -> list[str]:
    """What uv.lock holds, and uv itself."""
    uv = Path(sys.executable).with_name("uv")
    done = subprocess.run([uv, *_EXPORT[1:]], cwd=ROOT, capture_output=True, text=True, check=True)
    return sorted([*done.stdout.splitlines(), f"uv=={importlib.metadata.version('uv')}"])


if __name__ == "__main__":
    if "--upgrade" in sys.argv:
        write([])
        subprocess.run([Path(sys.executable).with_name("uv"), "lock", "--upgrade"], cwd=ROOT, check=True)
    write(exported())
