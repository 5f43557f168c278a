"""The demo's service: answers with a digest of the files it was started with. Verbs: restart, current, stop, serve."""

import hashlib
import http.server
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent
CONFIG = ROOT / "etc/demo/app.json"
KEYRING = ROOT / "etc/demo/keyring"
PID = ROOT / "app.pid"


def digest() -> str:
    return hashlib.sha256(CONFIG.read_bytes() + KEYRING.read_bytes() + pathlib.Path(__file__).read_bytes()).hexdigest()


def answer() -> str:
    port = json.loads(CONFIG.read_text())["port"]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as reply:
            return str(reply.read(), "ascii")
    except OSError:
        return ""


def stop() -> None:
    if not PID.exists():
        return
    pid = int(PID.read_text())
    try:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 10
        while pathlib.Path(f"/proc/{pid}/fd").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
    except ProcessLookupError:
        pass
    PID.unlink()


def restart() -> int:
    stop()
    arguments = [sys.executable, __file__, "serve"]
    null = subprocess.DEVNULL
    server = subprocess.Popen(arguments, stdin=null, stdout=null, stderr=null, start_new_session=True)
    PID.write_text(str(server.pid))
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if answer() == digest():
            print("the service answers")
            return 0
        time.sleep(0.05)
    print("the service does not answer", file=sys.stderr)
    return 1


def serve() -> int:
    running_with = digest().encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(running_with)

        def log_message(self, *_: object) -> None:
            return

    port = json.loads(CONFIG.read_text())["port"]
    http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
    return 0


def main() -> int:
    verb = sys.argv[1]
    if verb == "current":
        return 0 if answer() == digest() else 1
    if verb == "stop":
        stop()
        return 0
    return restart() if verb == "restart" else serve()


if __name__ == "__main__":
    sys.exit(main())
