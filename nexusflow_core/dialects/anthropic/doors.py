"""The doors to Claude: one row for each cloud that serves the Messages API, with what is different there.

State: 2026-11. Clouds accept other betas and fields every month: check the rows against their documentation
before relying on them. Sources: the clouds' documentation of 2026-08, probes of 2026-09, LiteLLM 1.110.2,
Anthropic's SDK 2.14.0.
"""

import re
from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import asdict

from nexusflow_core.dialects.anthropic.envelope import Envelope
from nexusflow_core.upstream import AuthScheme, Place, Upstream

__all__ = ["DOORS", "Door", "beta_allowed", "price_endpoint"]


class Door(Struct, frozen=True, kw_only=True):
    """One way to Claude. The settings of an upstream fill `address` and `headers`, by their names."""

    address: str
    """The base URL, to which `/v1/messages` is appended."""
    needs: tuple[str, ...] = ()
    """Settings without a default."""
    defaults: Mapping[str, str] = {}
    auth: AuthScheme
    """The header of a key."""
    tokens: Literal["google", "azure"] | None = None
    """The `auth` that fetches a token for it."""
    aws_service: str | None = None
    """The service's name in a signature for AWS. None: requests cannot be signed."""
    headers: Mapping[str, str] = {}
    """Headers that each request needs."""
    betas: frozenset[str] | None = None
    """The accepted betas; a name may end in `*`. None: all pass, the door is Anthropic's own."""
    renamed_betas: Mapping[str, str] = {}
    """Anthropic's names of betas that are called otherwise here."""
    dropped: frozenset[str] = frozenset()
    """Members of a body that are refused here, and that can be left out: the answer stays right."""
    cache_scope: bool = True
    """False: `scope` in a `cache_control` is refused."""
    user_id: re.Pattern[str] | None = None
    """The only form of `metadata.user_id` that is accepted."""
    counts_tokens: bool = True
    price: Literal["by_model", "by_region", "regional"] | None = None
    """The factor on list prices. `by_model`: by the prefix of the model's id. `by_region`: none for the region
    `global`. None: no factor."""
    hosts: Mapping[str, str] = {}
    """The `{host}` in the address, by region. "" is for any other region."""
    envelope: Envelope | None = None
    """How the door is asked, if not as Anthropic is."""

    @property
    def settings(self) -> frozenset[str]:
        """The settings that this door uses."""
        return frozenset((*self.needs, *self.defaults))

    def filled(self, template: str, place: Place) -> str:
        """Returns a template with the settings in it."""
        return template.format_map(self.place(place))

    def place(self, place: Place) -> dict[str, str]:
        """Returns the settings by name, with defaults, and the host."""
        settings = {name: value for name, value in asdict(place).items() if value is not None}
        settings = {**self.defaults, **settings}
        if self.hosts:
            settings["host"] = (self.hosts.get(settings["region"]) or self.hosts[""]).format_map(settings)
        return settings


_EVERYWHERE = frozenset(
    """computer-use-2025-01-24 computer-use-2025-11-24 context-1m-2025-08-07 context-management-2025-06-27
    compact-2026-01-12 compact-2026-09-04 effort-2025-11-24 fine-grained-tool-streaming-2025-05-14
    interleaved-thinking-2025-05-14 tool-examples-2025-10-29 thinking-binding-controls-2026-08-01
    thinking-display-updates-2026-08-18 mid-conversation-tool-changes-2026-07-01
    mid-conversation-output-config-2026-07-01 dangerous-tool-use-2026-09-03""".split()
)
"""Betas that every cloud accepts, as far as the model does."""

_BEDROCK = _EVERYWHERE | {"tool-search-tool-2025-10-19"}

_MANTLE = _BEDROCK | frozenset(
    """structured-outputs-2025-11-13 web-search-2025-03-05 token-efficient-tools-2025-02-19
    output-128k-2025-02-19 claude-code-20250219""".split()
)

_FOUNDRY = (_MANTLE - {"tool-search-tool-2025-10-19"}) | frozenset(
    """advanced-tool-use-2025-11-20 fallback-credit-2026-06-01 task-budgets-2026-03-13 inline-tools-2026-09-15
    model-context-window-exceeded-2025-08-26 thinking-token-count-2026-05-13 prompt-caching-scope-2026-01-05
    fast-mode-2026-02-01 files-api-2025-04-14 skills-2025-10-02 mcp-client-* code-execution-* web-fetch-*
    advisor-tool-2026-03-01 extended-cache-ttl-2025-04-11""".split()
)

_VERTEX = _BEDROCK | frozenset(
    """structured-outputs-2025-11-13 web-search-2025-03-05 claude-code-20250219 task-budgets-2026-03-13
    inline-tools-2026-09-15 model-context-window-exceeded-2025-08-26 thinking-token-count-2026-05-13
    fallback-credit-2026-06-01""".split()
)

_MODELS = "/v1/projects/{project}/locations/{region}/publishers/anthropic/models"

_SEARCH = {"advanced-tool-use-2025-11-20": "tool-search-tool-2025-10-19"}

_USER_ID = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}")

_OPTIONAL = frozenset("speed diagnostics fallbacks billing_policy".split())
"""Members that change price, speed or a fallback, but not what the model is asked."""

DOORS: Final[Mapping[str, Door]] = {
    # Bedrock's Messages API. AWS recommends it for new applications.
    "bedrock": Door(
        address="https://bedrock-runtime.{region}.amazonaws.com/anthropic",
        needs=("region",),
        auth="x-api-key",
        aws_service="bedrock",
        betas=_BEDROCK | {"fallback-credit-2026-06-01"},
        renamed_betas=_SEARCH,
        dropped=_OPTIONAL,
        cache_scope=False,
        user_id=_USER_ID,
        counts_tokens=False,  # the path answers 200 with an error inside
        price="by_model",
    ),
    # Bedrock's InvokeModel. The address names the model, and streams come in AWS's framing.
    "bedrock-invoke": Door(
        address="https://bedrock-runtime.{region}.amazonaws.com",
        needs=("region",),
        auth="bearer",
        aws_service="bedrock",
        betas=_BEDROCK,
        renamed_betas=_SEARCH,
        dropped=_OPTIONAL | {"service_tier"},
        cache_scope=False,
        price="by_model",
        envelope=Envelope(
            paths={
                "sync": "/model/{model}/invoke",
                "stream": "/model/{model}/invoke-with-response-stream",
                "count_tokens": "/model/{model}/count-tokens",
            },
            version="bedrock-2023-05-31",
            in_event_stream=True,
        ),
    ),
    # Bedrock's second endpoint. It takes bare ids such as anthropic.claude-sonnet-5, and no profiles.
    "bedrock-mantle": Door(
        address="https://bedrock-mantle.{region}.api.aws/anthropic",
        needs=("region",),
        auth="bearer",
        aws_service="bedrock-mantle",
        betas=_MANTLE,
        renamed_betas=_SEARCH,
        dropped=_OPTIONAL,
        cache_scope=False,
        user_id=_USER_ID,
        price="regional",
    ),
    # Claude Platform on AWS: Anthropic's own service, billed by AWS.
    "aws": Door(
        address="https://aws-external-anthropic.{region}.api.aws",
        needs=("region", "workspace"),
        auth="x-api-key",
        aws_service="aws-external-anthropic",
        headers={"anthropic-workspace-id": "{workspace}"},
    ),
    # Claude in Google's Vertex AI. The address names the model; its date follows an `@`.
    "vertex": Door(
        address="https://{host}",
        needs=("project",),
        defaults={"region": "global"},
        hosts={
            "global": "aiplatform.googleapis.com",
            "us": "aiplatform.us.rep.googleapis.com",
            "eu": "aiplatform.eu.rep.googleapis.com",
            "": "{region}-aiplatform.googleapis.com",
        },
        auth="bearer",
        tokens="google",
        betas=_VERTEX,
        renamed_betas=_SEARCH,
        dropped=_OPTIONAL | {"service_tier"},
        cache_scope=False,
        price="by_region",
        envelope=Envelope(
            paths={
                "sync": f"{_MODELS}/{{model}}:rawPredict",
                "stream": f"{_MODELS}/{{model}}:streamRawPredict",
                "count_tokens": f"{_MODELS}/count-tokens:rawPredict",
            },
            version="vertex-2023-10-16",
            newer_versions=frozenset({"2026-10-21"}),
        ),
    ),
    # Claude on Google Cloud, managed by Anthropic.
    "google": Door(
        address="https://claude.googleapis.com/v1/projects/{project}/locations/{region}"
        "/workspaces/{workspace}/invoke",
        needs=("project", "workspace"),
        defaults={"region": "global"},
        auth="bearer",
        tokens="google",
    ),
    # Microsoft Foundry. Models are called by the name of their deployment.
    "foundry": Door(
        address="https://{resource}.services.ai.azure.com/anthropic",
        needs=("resource",),
        auth="x-api-key",
        tokens="azure",
        betas=_FOUNDRY,
        dropped=frozenset({"fallbacks", "diagnostics", "billing_policy"}),
    ),
}


def beta_allowed(door: Door, beta: str) -> bool:
    """True if the door accepts this beta."""
    if door.betas is None or beta in door.betas:
        return True
    return any(beta.startswith(name[:-1]) for name in door.betas if name.endswith("*"))


_PROFILE = re.compile(r"(?:arn:aws[\w-]*:bedrock:([\w-]+):\d*:[\w-]+/)?(?:([a-z-]+)\.)?anthropic\.")
_GLOBAL = "global"


def price_endpoint(upstream: Upstream, model: str) -> tuple[str | None, tuple[str, ...]]:
    """Returns the kind of endpoint that the price depends on, and a flag if it is unknown.

    It is "regional", "global", "us-gov", or None without a factor. `model` is the one sent upstream.
    """
    door = DOORS[upstream.door or ""]
    if door.price is None:
        return None, ()
    gov = (upstream.place.region or "").startswith("us-gov-")
    if door.price == "by_region":
        return (_GLOBAL if door.place(upstream.place)["region"] == _GLOBAL else "regional"), ()
    if door.price == "regional":
        return ("us-gov" if gov else "regional"), ()
    profile = _PROFILE.match(model)
    if profile is None:  # an application profile's ARN names neither model nor geography
        return None, ("endpoint_unknown",)
    prefix = profile[2]
    if gov or prefix == "us-gov":
        return "us-gov", ()
    return (_GLOBAL if prefix == _GLOBAL else "regional"), ()
