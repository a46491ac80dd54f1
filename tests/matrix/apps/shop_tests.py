"""The shop's own tests, as an author writes them, run in its environment: `python shop_tests.py shop_fastapi`.

The gateway answers from its simulator, so they need no key and no network.
"""

import asyncio
import importlib
import os
import sys
import warnings
from typing import Any

os.environ.update(ANTHROPIC_API_KEY="never sent", NEXUSFLOW_KEY="never asked for")
warnings.simplefilter("error", ResourceWarning)

import httpx2  # noqa: E402

CALL = {"model": "claude-haiku-4-5", "max_tokens": 64, "messages": [{"role": "user", "content": "hello"}]}


def sync_client(app: Any) -> Any:
    """The framework's own TestClient; Django has none that runs an ASGI app."""
    if type(app).__module__.startswith("litestar"):
        from litestar.testing import TestClient
    else:
        from starlette.testclient import TestClient
    return TestClient(app)


def with_the_test_client(app: Any) -> None:
    """Log in, ask in both ways, see what it cost."""
    with sync_client(app) as client:
        refused = client.post("/llm/v1/messages", json=CALL)
        assert refused.status_code == 401, refused.text
        assert refused.json()["error"] == {"type": "authentication_error", "message": "log in first"}
        client.post("/login/alice")
        answer = client.post("/llm/v1/messages", json=CALL)
        assert answer.status_code == 200, answer.text
        assert "hello" in answer.json()["content"][-1]["text"]
        stream = client.post("/llm/v1/messages", json={**CALL, "stream": True})
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.text.rstrip().endswith('data: {"type":"message_stop"}'), stream.text[-200:]
        lines = client.get("/spend").json()
        assert [line["ending"] for line in lines] == ["refused", "complete", "complete"], lines
        assert lines[1]["cost_usd"] is not None
        client.post("/login/mallory")
        closed = client.post("/llm/v1/messages", json=CALL)
        assert closed.status_code == 403, closed.text
        assert closed.json()["error"]["type"] == "permission_error"
        assert "x-shop" in client.get("/spend").headers


async def with_an_asgi_transport(app: Any) -> None:
    """The same without a lifespan, and many at once."""
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://shop") as client:
        await client.post("/login/alice")
        answers = await asyncio.gather(*(client.post("/llm/v1/messages", json=CALL) for _ in range(20)))
        assert [answer.status_code for answer in answers] == [200] * 20, answers[0].text
        models = await client.get("/llm/v1/models")
        assert "claude-haiku-4-5" in models.text


if __name__ == "__main__":
    shop = importlib.import_module(sys.argv[1])
    if sys.argv[1] == "shop_django":
        from django.core.management import call_command

        call_command("migrate", run_syncdb=True, verbosity=0)
    with_the_test_client(shop.make_app(transport="offline"))
    asyncio.run(with_an_asgi_transport(shop.make_app(transport="offline")))
    print("passed")
