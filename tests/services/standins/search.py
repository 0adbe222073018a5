"""Stands in for Elasticsearch and OpenSearch: reads its configuration directory, and keeps documents in memory.

With the standard library of a Python that every account can run.
"""

import base64
import hashlib
import http.server
import json
import os
import re
import sys
import threading
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

NAME = Path(sys.argv[1]).name
VARIABLE = {"elasticsearch": "ES", "opensearch": "OPENSEARCH"}[NAME]
CONF = Path(os.environ[f"{VARIABLE}_PATH_CONF"])
TREE = Path(sys.argv[1]).parents[1]

indices: dict[str, dict[str, Any]] = {}
lock = threading.Lock()


def settings() -> dict[str, Any]:
    lines = (CONF / f"{NAME}.yml").read_text().splitlines()
    found: dict[str, Any] = {name: json.loads(value) for name, value in (line.split(": ", 1) for line in lines)}
    for name in found:
        if name.startswith("no.") or (name.startswith("plugins.") and not (TREE / "plugins").exists()):
            sys.exit(f"java.lang.IllegalArgumentException: unknown setting [{name}]")
    return found


def check_java() -> None:
    for line in (CONF / "jvm.options").read_text().splitlines():
        if not line.startswith(("-X", "-D", "14-:")) or "${" in line or "=logs/" in line:
            sys.exit(f"Unrecognized option: {line}")
        if heap := re.match("-Xm[sx](.*)", line):
            assert re.fullmatch(r"\d+[kmg]?", heap[1]), f"Invalid maximum heap size: {line}"
    assert "rootLogger" in (CONF / "log4j2.properties").read_text()


def is_allowed(header: str | None) -> bool:
    user, _, password = base64.b64decode((header or "").removeprefix("Basic ")).decode().partition(":")
    known = dict(line.split(":", 1) for line in (CONF / "users").read_text().splitlines())
    roles = dict(line.split(":", 1) for line in (CONF / "users_roles").read_text().splitlines())
    if user not in known or user not in roles["superuser"].split(","):
        return False
    cost, salt, kept = known[user].removeprefix("{PBKDF2}").split("$")
    made = hashlib.pbkdf2_hmac("sha512", password.encode(), base64.b64decode(salt), int(cost), 32)
    return base64.b64encode(made).decode() == kept


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        if TOLD.get("xpack.security.enabled") and not is_allowed(self.headers.get("Authorization")):
            return self._say(401, {"error": "unable to authenticate"})
        with lock:
            return self._say(*self._do(unquote(urlsplit(self.path).path).strip("/").split("/"), body))

    do_GET = do_PUT = do_DELETE = do_POST = do_HEAD = _answer

    def _do(self, words: list[str], body: Any) -> tuple[int, Any]:
        match (self.command, *words):
            case ("GET", ""):
                return 200, {"version": {"number": "9.9.1"}, "tagline": "You Know, for Search"}
            case ("GET", "_cluster", "health"):
                return 200, {"status": "green"}
            case ("GET", "_cat", "indices", pattern):
                return 200, [{"index": name} for name in indices if fnmatch(name, pattern)]
            case ("PUT", index, "_doc", key):
                indices.setdefault(index, {})[key] = body
                return 201, {"_index": index, "_id": key, "result": "created"}
            case ("GET", index, "_doc", key):
                found = indices.get(index, {}).get(key)
                return (404 if found is None else 200), {"found": found is not None, "_id": key, "_source": found}
            case ("DELETE", name):
                indices.pop(name, None)
                return 200, {"acknowledged": True}
        return 400, {"error": f"no handler found for {self.command} {self.path}"}

    def _say(self, status: int, answer: Any) -> None:
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("X-Elastic-Product", "Elasticsearch")
        kind = "application/vnd.elasticsearch+json;compatible-with=9" if NAME == "elasticsearch" else "application/json"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        pass


if os.geteuid() == 0:
    sys.exit(f"java.lang.RuntimeException: can not run {NAME} as root")
check_java()
TOLD = settings()
os.chdir(TREE)
Path(TOLD["path.data"], "node.lock").touch()
transport = http.server.ThreadingHTTPServer((TOLD["network.host"], int(TOLD["transport.port"])), Handler)
http.server.ThreadingHTTPServer((TOLD["network.host"], int(TOLD["http.port"])), Handler).serve_forever()
