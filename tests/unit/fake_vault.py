"""An HTTP server that answers as Vault's key-value engine does, for tests."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hvs.CAESIJ-test-token"


class FakeVault:
    """Serves `secrets` (path after /v1/ to the content of `data`) to who has TOKEN; `status` overrides."""

    def __init__(self) -> None:
        self.secrets: dict[str, Any] = {}
        self.asked: list[str] = []
        self.status = 0
        self.stall = False
        self._ending = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fake.asked.append(self.path)
                if fake.stall:
                    fake._ending.wait(20)
                status, body = fake.answer(self.path, str(self.headers["X-Vault-Token"]))
                content = json.dumps(body).encode()
                self.send_response(status)
                if status == 307:
                    self.send_header("Location", fake.url + "/v1/elsewhere")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, path: str, token: str) -> tuple[int, Any]:
        """Status and body for a path, as Vault's API documentation has them."""
        if self.status:
            return self.status, {"errors": []}
        if token != TOKEN:
            return 403, {"errors": ["permission denied"]}
        found = self.secrets.get(path.removeprefix("/v1/"))
        if found is None:
            return 404, {"errors": []}
        return 200, {"request_id": "1", "lease_id": "", "renewable": False, "data": found}

    def __enter__(self) -> FakeVault:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
