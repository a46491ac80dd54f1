"""Every version that CI installs is pinned, for pip and for uv alike."""

import re
import tomllib

from tests.pins import CONSTRAINTS, PYPROJECT, pins_for_pip, pins_for_uv


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return found[0].lower().replace("_", "-")


def test_pip_and_uv_have_the_same_pins() -> None:
    """One command writes both."""
    assert pins_for_pip() == pins_for_uv()


def test_a_pin_is_a_version_and_nothing_else() -> None:
    """Neither an index nor a URL: whoever installs has its own."""
    pins = pins_for_pip()
    assert len(pins) > 40
    assert [pin for pin in pins if not re.fullmatch(r"[a-z0-9.-]+==[a-z0-9.]+( ; [^:]+)?", pin)] == []
    assert "://" not in CONSTRAINTS.read_text()
    assert "--" not in CONSTRAINTS.read_text()


def test_every_dependency_of_ours_is_pinned() -> None:
    """Those of the package, of its extras and of the tests, and uv, which the README's command installs."""
    tree = tomllib.loads(PYPROJECT.read_text())
    project = tree["project"]
    extras = [one for extra in project["optional-dependencies"].values() for one in extra]
    asked = [*project["dependencies"], *extras, "uv"]
    asked += [one for one in tree["dependency-groups"]["dev"] if not one.startswith("nexusflow[")]
    assert {name_of(one) for one in asked} <= {name_of(pin) for pin in pins_for_pip()}
