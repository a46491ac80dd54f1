"""The public names, pinned: a change here is a change for users, and belongs in the changelog."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from types import ModuleType

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


PACKAGES = [nexusflow_core, nexusflow_asgi]


@pytest.mark.parametrize("package", PACKAGES)
def test_each_public_name_comes_from_where_type_checkers_see_it(package: ModuleType) -> None:
    """The table of modules repeats the imports that only type checkers read."""
    tree = ast.parse(inspect.getsource(package))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    assert ast.unparse(checked.test) == "TYPE_CHECKING"
    seen = {
        alias.name: (node.module or "").removeprefix(f"{package.__name__}.")
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == package._MODULE_OF
    assert seen.keys() == set(package.__all__)
    for name, module in seen.items():
        assert getattr(package, name) is getattr(importlib.import_module(f"{package.__name__}.{module}"), name)


@pytest.mark.parametrize("package", PACKAGES)
def test_names_that_are_not_imported_yet_are_there_all_the_same(package: ModuleType) -> None:
    """For `dir`, `import *`, modules as attributes and pickles, in a process that has used none of them."""
    code = f"""
import pickle, {package.__name__} as package
assert set(package.__all__) < set(dir(package)) and "__doc__" in dir(package)
for module in sorted(package._MODULES):
    if "." not in module:
        assert getattr(package, module).__name__ == f"{{package.__name__}}.{{module}}"
one = next(value for name in package.__all__ if isinstance(value := getattr(package, name), type))
assert pickle.loads(pickle.dumps(one)) is one
names = {{}}
exec("from {package.__name__} import *", names)
assert set(package.__all__) <= set(names)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_name_that_is_missing_is_an_ordinary_error(package: ModuleType) -> None:
    """As of any module, for `hasattr` and for `import` too."""
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'Gatewy'"):
        package.Gatewy  # noqa: B018 - reading it is the test
    with pytest.raises(ImportError, match="cannot import name 'Gatewy'"):
        exec(f"from {package.__name__} import Gatewy")
    assert not hasattr(package, "__wrapped__")


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
