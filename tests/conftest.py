"""For every test: no property fails because the machine is slow or busy, and none shows a key:
what it wrote and logged, with tracebacks, is looked through."""

from __future__ import annotations

import functools
import os
import ssl
from collections.abc import Generator
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, settings

from tests.planted import assert_no_key

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
_FAILED = pytest.StashKey[bool]()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Two processes a core, since many tests wait for sockets. The long tests, which measure memory or take the
    whole machine, run in one."""
    chosen = str(config.option.markexpr)
    return 0 if chosen in ("soak", "matrix", "smoke") else 2 * (os.cpu_count() or 1)


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


@pytest.fixture(autouse=True, scope="session")
def one_tls_context() -> Generator[None, None, None]:
    """Clients that verify by the system's own authorities share a context: to read these takes longer than most
    tests. What the environment says of authorities tells contexts apart."""
    default = httpx2._transports.default
    create: Any = default.create_ssl_context

    @functools.cache
    def shared(trust_env: bool, file: str | None, folder: str | None) -> ssl.SSLContext:
        made: ssl.SSLContext = create(verify=True, trust_env=trust_env)
        return made

    def context(verify: Any = True, cert: Any = None, trust_env: bool = True) -> Any:
        if verify is True and cert is None:
            return shared(trust_env, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        return create(verify=verify, cert=cert, trust_env=trust_env)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(default, "create_ssl_context", context)
        yield
