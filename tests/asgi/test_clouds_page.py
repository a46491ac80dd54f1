"""docs/clouds.md: each example is checked by `nexusflow check`, and each door has one."""

import re
from pathlib import Path

import pytest

from nexusflow_asgi.cli import main
from nexusflow_core.dialects.anthropic.doors import DOORS

PAGE = Path(__file__).parents[2] / "docs" / "clouds.md"
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_is_right(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the variables that it names, `check` finds nothing wrong, and shows the door."""
    for name in [*re.findall(r"env:(\w+)", example), "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]:
        monkeypatch.setenv(name, f"sk-{name.lower()}")
    file = tmp_path / "nexusflow.toml"
    file.write_text(example)
    assert main(["check", str(file)]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    for door in re.findall(r'^door = "([\w-]+)"', example, re.MULTILINE):
        assert f"anthropic, door {door}, https://" in shown.out


def test_every_door_has_an_example_and_a_line() -> None:
    """A new row of the table needs its section."""
    shown = set(re.findall(r'^door = "([\w-]+)"', "".join(EXAMPLES), re.MULTILINE))
    assert shown == set(DOORS)
    assert set(re.findall(r"^\| `([\w-]+)` \|", PAGE.read_text(), re.MULTILINE)) - {"door"} == set(DOORS)
