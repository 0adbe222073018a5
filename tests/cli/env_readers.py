"""Programs that read what `servicectx env` writes. Each reader returns the variables that it found."""

import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

#: Readers that a machine may lack. The texts for them are compared in any case.
PROGRAMS = ("fish", "zsh", "docker", "pwsh")
#: Readers that may be missing in CI, too: Debian has no PowerShell, and its package of Docker brings a daemon.
OPTIONAL = ("docker", "pwsh")
Variables = dict[str, str]
SHOW = "import json, os; print(json.dumps(dict(os.environ)))"


def missing() -> list[str]:
    """The programs that are not installed here."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


def shell(program: str) -> Callable[[str, Path], Variables]:
    def read(text: str, folder: Path) -> Variables:
        (folder / "script").write_text(f"{text}\n'{sys.executable}' -c '{SHOW}'\n", encoding="utf-8")
        return _run([program, "script"], folder)

    return read


def powershell(text: str, folder: Path) -> Variables:
    (folder / "script.ps1").write_text(f"{text}\n& '{sys.executable}' -c '{SHOW}'\n", encoding="utf-8")
    return _run(["pwsh", "-NoProfile", "-File", "script.ps1"], folder)


def sourced(text: str, folder: Path) -> Variables:
    """A .env file that a shell reads."""
    return shell("sh")(f"set -a\n{text}", folder)


def python_dotenv(text: str, _: Path) -> Variables:
    from dotenv import dotenv_values

    return {name: value or "" for name, value in dotenv_values(stream=io.StringIO(text)).items()}


def as_json(text: str, _: Path) -> Variables:
    found: Variables = json.loads(text)
    return found


def github(text: str, _: Path) -> Variables:
    """GitHub's rules: `NAME=VALUE`, or `NAME<<MARKER`, lines, `MARKER`. Its runner is not a program of its own."""
    found: Variables = {}
    lines = iter(text.split("\n"))
    for line in lines:
        before, heredoc, marker = line.partition("<<")
        if heredoc and "=" not in before:
            value = list(iter(lambda: next(lines), marker))
            found[before] = "\n".join(value)
        elif line:
            name, _equals, found[name] = line.partition("=")
    return found


def docker(text: str, folder: Path) -> Variables:
    """The client `docker create --env-file`; a small server stands for the daemon and records the request."""
    received: list[Variables] = []

    class Daemon(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.reply(200, b"")

        def do_GET(self) -> None:
            self.reply(200, b"OK")

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.append(dict(item.split("=", 1) for item in body["Env"]))
            self.reply(201, b'{"Id": "a", "Warnings": []}')

        def reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            for name, value in (("API-Version", "1.44"), ("OSType", "linux"), ("Content-Type", "application/json")):
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *_: object) -> None:
            """Print nothing."""

    (folder / "list").write_text(f"{text}\n", encoding="utf-8")
    with ThreadingHTTPServer(("127.0.0.1", 0), Daemon) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = {"DOCKER_HOST": f"tcp://127.0.0.1:{server.server_address[1]}", "HOME": str(folder)}
        command = ["docker", "create", "--env-file", "list", "image"]
        subprocess.run(command, cwd=folder, env={"PATH": os.environ["PATH"]} | address, check=True, capture_output=True)
        server.shutdown()
    return received[0]


def _run(command: list[str], folder: Path) -> Variables:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    found: Variables = json.loads(done.stdout)
    return found


#: Pairs of a format and a reader.
READERS: dict[tuple[str, str], Callable[[str, Path], Variables]] = {
    ("sh", "sh"): shell("sh"),
    ("bash", "bash"): shell("bash"),
    ("zsh", "zsh"): shell("zsh"),
    ("fish", "fish"): shell("fish"),
    ("powershell", "pwsh"): powershell,
    ("dotenv", "sh"): sourced,
    ("dotenv", "python-dotenv"): python_dotenv,
    ("docker", "docker"): docker,
    ("github", "GitHub's rules"): github,
    ("json", "json"): as_json,
}
