"""google-auth and azure-identity fetch tokens from a server on this machine. Prints what went well."""

import contextlib
import json
import os
import tempfile
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from nexusflow_asgi.credentials.libraries import AzureCredentials, GoogleCredentials

asked: list[str] = []
broken = False


class Tokens(BaseHTTPRequestHandler):
    """Both kinds of token server: Google's, and the identity endpoint of an Azure machine."""

    def answer(self) -> None:
        asked.append(self.path)
        self.rfile.read(int(self.headers.get("content-length") or 0))
        token = {"access_token": f"token-{len(asked)}", "token_type": "Bearer", "expires_in": 3600}
        body = json.dumps({**token, "expires_on": str(int(time.time()) + 3600), "resource": "r"}).encode()
        body = b'{"error": "invalid_grant"}' if broken else body
        self.send_response(400 if broken else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, format: str, *args: object) -> None:
        """The output is for results."""


server = ThreadingHTTPServer(("127.0.0.1", 0), Tokens)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"

key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
account = {
    "type": "service_account",
    "project_id": "acme",
    "private_key_id": "1",
    "private_key": key.decode(),
    "client_email": "a@acme.example",
    "token_uri": f"{url}/google",
}
file = Path(tempfile.mkdtemp()) / "account.json"
file.write_text(json.dumps(account))
os.environ["GOOGLE_APPLICATION_CREDENTIALS"] = str(file)
os.environ |= {"IDENTITY_ENDPOINT": f"{url}/azure", "IDENTITY_HEADER": "h"}

for source in (GoogleCredentials(), AzureCredentials()):
    name, seen = type(source).__name__, len(asked)
    for anew in (False, True):
        found = source.read(anew)
        assert found.headers == [(b"authorization", f"Bearer token-{len(asked)}".encode())], found.headers
        assert found.expires_at is not None
        assert 3000 < (found.expires_at - datetime.now(UTC)).total_seconds() <= 3700
    assert len(asked) == seen + 2, "a refused token is fetched anew"
    broken = True
    with contextlib.suppress(Exception):
        source.read(True)
        raise SystemExit("a refusal is a failure")
    broken = False
    print(name, flush=True)
