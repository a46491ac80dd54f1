"""The public names, pinned: a change here is a change for users, and belongs in the changelog."""

import importlib
import inspect
import pkgutil

import pytest

import nexusflow_asgi
import nexusflow_core
import nexusflow_core.exchange
from tests.asgi.stores.services import configure_django

CORE = """AttemptRecord AuthenticationFailedError Billing CacheSettings Call CallRecord CallerError Cap
    CapReachedError Config ConfigError Cost CostLine Credential Exchange Gateway GatewayError Headers
    InvalidRequestError InvalidUsageError Iteration Limits Loss ModelPrices ModelRoute NexusFlowError
    NotFoundError OverloadedError PermissionDeniedError Price PriceBook Principal RateLimitedError
    ResponseHead Retry Router SSEDecoder Secret ServerSentEvent Target TargetOptions Timeouts UnitPrice
    UnknownModelError Upstream UpstreamError UpstreamProtocolError UpstreamRequest UpstreamStatusError
    UpstreamTimeoutError UpstreamUnreachableError Usage cost cost_batch cost_of_sum decode_config
    encode_sse rates_table""".split()

EXCHANGE = "Close Exchange Order Read Send Sleep begun".split()
"""Hosts import the orders from there, since ASGI has a `Send` of its own."""

ASGI = """AfterHook Authenticate BeforeHook CallLog FetchCredential Hook LoggingHook NexusFlow Transport
    TransportName TransportResponse load_config""".split()


@pytest.mark.parametrize(
    ("package", "names"), [(nexusflow_core, CORE), (nexusflow_core.exchange, EXCHANGE), (nexusflow_asgi, ASGI)]
)
def test_the_public_names_are_these(package: object, names: list[str]) -> None:
    """Nothing is public by accident, and nothing disappears unnoticed."""
    assert sorted(package.__all__) == sorted(names)  # type: ignore[attr-defined]


def _modules() -> list[str]:
    return [
        info.name
        for package in (nexusflow_core, nexusflow_asgi)
        for info in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
        if not info.name.endswith("__main__")
    ]


@pytest.mark.parametrize("name", _modules())
def test_every_public_name_exists_and_is_explained(name: str) -> None:
    """`__all__` of each module holds; its classes and functions have a docstring."""
    if ".contrib.django." in name:  # its modules need Django's settings
        configure_django()
    module = importlib.import_module(name)
    for public in getattr(module, "__all__", ()):
        thing = getattr(module, public)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert thing.__doc__, f"{name}.{public} has no docstring"
