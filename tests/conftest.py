"""For every test: no property fails because the machine is slow or busy, and none shows a key (PITFALLS J4):
what it wrote and logged, with tracebacks, is looked through."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from tests.planted import assert_no_key

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
_FAILED = pytest.StashKey[bool]()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """One process a core, but for the long tests that measure memory or take the whole machine."""
    chosen = str(config.option.markexpr)
    return 0 if chosen in ("soak", "matrix", "smoke") else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    if not item.stash[_FAILED]:  # a test that fails shows its own source, keys and all
        for name, text in report.sections:
            try:
                assert_no_key(text, name)
            except AssertionError as error:
                report.outcome, report.longrepr = "failed", str(error)
    return report
