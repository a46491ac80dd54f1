"""The gateways that are compared: how each is installed, configured and started."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import environments
from benchmarks.environments import Missing, npm_environment, python_environment
from benchmarks.samples import GATEWAY_KEY, MODEL, UPSTREAM_KEY

__all__ = ["CONTENDERS", "OURS", "SMALL", "Contender", "Launch", "Site"]

_LITELLM_KEY = f"sk-{GATEWAY_KEY}"
_OTHER_MODEL = "gpt-4o"


class Site(NamedTuple):
    """Where a gateway runs: a folder for its files, its port, and the upstream's."""

    folder: Path
    port: int
    upstream_port: int

    @property
    def upstream(self) -> str:
        return f"http://127.0.0.1:{self.upstream_port}"

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


class Launch(NamedTuple):
    """A command, the version that it starts, and variables for its environment."""

    command: Sequence[str | Path]
    version: str
    environ: Mapping[str, str] = {}


class Contender(NamedTuple):
    """One gateway. `launch` raises Missing if it is not installed. A model of None: it lacks that path."""

    launch: Callable[[Site], Launch]
    native: str | None = MODEL
    translated: str | None = None
    headers: Mapping[str, str] = {"x-api-key": GATEWAY_KEY}
    seconds: int = 60
    """Time to start."""


def _nexusflow(site: Site) -> Launch:
    config = site.write(
        "nexusflow.toml",
        f"""
[upstreams.claude]
dialect = "anthropic"
base_url = "{site.upstream}"
api_key = "env:UPSTREAM_KEY"
connections = 5000
threads = true

[upstreams.chat]
dialect = "openai-chat"
base_url = "{site.upstream}/v1"
api_key = "env:UPSTREAM_KEY"

[[routes]]
model = "claude-*"
targets = ["claude"]

[[routes]]
model = "gpt-*"
targets = ["chat"]

[auth]
keys = ["env:NEXUSFLOW_KEY"]
""",
    )
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "nexusflow_asgi.cli",
        "serve",
        "--config",
        config,
        "--port",
        str(site.port),
    ]
    environ = {"NEXUSFLOW_KEY": GATEWAY_KEY, "UPSTREAM_KEY": UPSTREAM_KEY}
    return Launch(command, "this checkout, `nexusflow serve`, a log line a call", environ)


def _bare(kind: str, about: str) -> Callable[[Site], Launch]:
    def launch(site: Site) -> Launch:
        module = [sys.executable, "-m", "benchmarks.gateways.served", kind]
        return Launch([*module, str(site.port), str(site.upstream_port)], about)

    return launch


def _nginx(site: Site) -> Launch:
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if nginx is None:
        raise Missing("nginx is not installed")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {site.folder}/{kind};" for kind in kinds)
    config = site.write(
        "nginx.conf",
        f"""
worker_processes 1; daemon off; pid {site.folder}/nginx.pid; error_log {site.folder}/nginx.err;
events {{ worker_connections 8192; }}
http {{
  access_log off; {paths}
  client_max_body_size 32m; client_body_buffer_size 1m; keepalive_requests 1000000;
  upstream upstream {{ server 127.0.0.1:{site.upstream_port}; keepalive 2000; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{site.port} backlog=4096;
    location / {{
      proxy_pass http://upstream; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
""",
    )
    version = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr.strip()
    return Launch([nginx, "-e", f"{site.folder}/nginx.err", "-c", config], version.partition("/")[2])


def _smg(site: Site) -> Launch:
    smg = python_environment("smg", environments.SMG) / "smg"
    where = ["--host", "127.0.0.1", "--port", str(site.port), "--prometheus-port", str(site.port + 1)]
    upstream = ["--backend", "anthropic", "--worker-urls", site.upstream, "--disable-health-check"]
    quiet = ["--history-backend", "none", "--log-level", "warn"]
    return Launch([smg, "launch", *where, *upstream, *quiet], environments.SMG[0])


def _litellm(site: Site) -> Launch:
    bin = python_environment("litellm", environments.LITELLM)
    model = {"api_key": UPSTREAM_KEY, "model": "anthropic/claude-*", "api_base": site.upstream}
    other = {"api_key": UPSTREAM_KEY, "model": f"openai/{_OTHER_MODEL}", "api_base": f"{site.upstream}/v1"}
    config = {
        "model_list": [
            {"model_name": "claude-*", "litellm_params": model},
            {"model_name": _OTHER_MODEL, "litellm_params": other},
        ],
        "litellm_settings": {"drop_params": True, "use_chat_completions_url_for_anthropic_messages": True},
        "general_settings": {"disable_error_logs": True},
    }
    path = site.write("litellm.yaml", json.dumps(config))  # JSON is YAML
    command: list[str | Path] = [
        bin / "litellm",
        "--config",
        path,
        "--host",
        "127.0.0.1",
        "--port",
        str(site.port),
    ]
    environ = {
        "LITELLM_MASTER_KEY": _LITELLM_KEY,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # no download at its start
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_TELEMETRY": "False",
    }
    return Launch([*command, "--num_workers", "1"], " ".join(environments.LITELLM), environ)


def _ccr(site: Site) -> Launch:
    node = shutil.which("node")
    if node is None:
        raise Missing("node is not installed")
    package = environments.CCR.removesuffix("@" + environments.CCR.rpartition("@")[2])
    cli = npm_environment("claude-code-router", environments.CCR) / package / "dist" / "cli.js"
    claude = {
        "name": "claude",
        "api_base_url": f"{site.upstream}/v1/messages",
        "api_key": UPSTREAM_KEY,
        "models": [MODEL],
        "transformer": {"use": ["Anthropic"]},
    }
    chat = {
        "name": "chat",
        "api_base_url": f"{site.upstream}/v1/chat/completions",
        "api_key": UPSTREAM_KEY,
        "models": [_OTHER_MODEL],
    }
    config = {"PORT": site.port, "HOST": "127.0.0.1", "LOG": False, "NON_INTERACTIVE_MODE": True}
    config |= {"Providers": [claude, chat], "Router": {"default": f"claude,{MODEL}"}}
    site.write(".claude-code-router/config.json", json.dumps(config))
    environ = {"HOME": str(site.folder), "NODE_ENV": "production"}
    return Launch([node, cli, "start"], environments.CCR, environ)


OURS = "NexusFlow"
CONTENDERS: dict[str, Contender] = {
    "nginx": Contender(_nginx),
    "bare sockets": Contender(
        _bare("sockets", "uvicorn, a pool of sockets and httptools: bare_socket_proxy.py")
    ),
    "bare aiohttp": Contender(_bare("client", "uvicorn and aiohttp's client: bare_proxy.py")),
    "smg": Contender(_smg),
    OURS: Contender(_nexusflow, translated=_OTHER_MODEL),
    "LiteLLM": Contender(
        _litellm, translated=_OTHER_MODEL, headers={"authorization": f"Bearer {_LITELLM_KEY}"}
    ),
    "claude-code-router": Contender(_ccr, translated=f"chat,{_OTHER_MODEL}"),
}
"""From the least work to the most. smg is written in Rust."""

SMALL = ("nginx", "bare sockets", "bare aiohttp", OURS)
"""Those that need no environment of their own."""
