"""The server: stores notes in notebooks, for clients with the token. `notes-server CONFIGURATION.json`."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """`/` describes the server; `/NOTEBOOK` is a notebook, `/NOTEBOOK/NAME` a note in it."""

    protocol_version = "HTTP/1.1"
    configuration: dict[str, Any]
    notebooks: dict[str, dict[str, str]]

    def do_GET(self) -> None:
        notebook, name = self._path()
        if not notebook:
            self._answer(200, {"version": "1.0", "notebooks": sorted(self.notebooks)})
        elif name in self.notebooks.get(notebook, {}):
            self._answer(200, {"text": self.notebooks[notebook][name]})
        else:
            self._answer(404, {"problem": "note not found"})

    def do_PUT(self) -> None:
        notebook, name = self._path()
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        notes = self.notebooks.setdefault(notebook, {})
        if len(text) > self.configuration["limit"]:
            self._answer(413, {"problem": f"a note has at most {self.configuration['limit']} characters"})
        else:
            if name:
                notes[name] = text
            self._answer(200, {})

    def do_DELETE(self) -> None:
        self.notebooks.pop(self._path()[0], None)
        self._answer(200, {})

    def _path(self) -> tuple[str, str]:
        notebook, _, name = self.path.strip("/").partition("/")
        return notebook, name

    def _answer(self, status: int, answer: dict[str, Any]) -> None:
        if self.headers.get("Authorization") != f"Bearer {self.configuration['token']}":
            status, answer = 401, {"problem": "the token is missing or wrong"}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        Handler.configuration = json.load(file)
    if Handler.configuration["limit"] < 1:
        sys.exit(f"notes-server: a limit of {Handler.configuration['limit']} characters leaves no room for notes")
    Handler.notebooks = {}
    ThreadingHTTPServer((Handler.configuration["host"], int(Handler.configuration["port"])), Handler).serve_forever()
