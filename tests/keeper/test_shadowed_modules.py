"""Files and packages with names of standard modules: a keeper's processes never import them."""

import os
import shutil
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path

import pytest

from servicectx.keeper import search_path

# Backports on PyPI, and common names of files in projects.
NAMES = ("uuid", "pathlib", "typing", "enum", "dataclasses", "select", "json", "queue", "socket", "tempfile", "glob")

# The user's own program works: it has imported the standard modules before. A later process that imports one ends.
SHADOW = "raise SystemExit('a module of the standard library was shadowed')\n"

PROGRAM = """
    import sys

    import asyncio, dataclasses, enum, glob, json, pathlib, queue, select, socket, tempfile, typing, uuid
    import http.client, http.server, importlib.metadata, logging.config, secrets, shutil, subprocess, urllib.request
    import pydantic, filelock, platformdirs

    sys.path[:0] = sys.argv[1:]
    from servicectx import isolated, managed
    from services import SERVICES

    for name, arguments in SERVICES.items():
        with managed(name, **arguments) as details:
            if name in ("postgres", "redis", "moto"):
                with isolated(details) as one, isolated(details) as other:
                    assert one != other
        print(name)
"""

SERVICES = """
    import sys

    serve = [sys.executable, "-I", "-m", "http.server", "--bind", "{host}", "{port}"]
    SERVICES = {
        "postgres": {},
        "redis": {},
        "command": {"command": serve, "ready": "http://{host}:{port}/"},
        "asgi": {"app": "app:asgi", "ready": "/"},
        "wsgi": {"app": "app:wsgi", "ready": "/"},
        "moto": {},
        "smtp": {},
    }
"""

APP = """
    async def asgi(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"here"})

    def wsgi(environ, start):
        start("200 OK", [])
        return [b"here"]
"""


@pytest.mark.parametrize("location", ["in the environment", "in the working directory"])
def test_every_kind_of_service_starts_beside_files_named_like_standard_modules(tmp_path: Path, location: str) -> None:
    project, environment = tmp_path / "project", tmp_path / "site-packages"
    for folder in (project, environment):
        folder.mkdir()
    for name, text in {"services": SERVICES, "app": APP}.items():
        (project / f"{name}.py").write_text(textwrap.dedent(text))
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    for name in NAMES:
        ((environment if location == "in the environment" else project) / f"{name}.py").write_text(SHADOW)
    for name in search_path.DEPENDENCIES:  # the keeper's path then has the directory with the backports
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        (environment / name).symlink_to(Path(spec.origin).parent)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py"), str(project), str(environment)],
        cwd=project,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == ["postgres", "redis", "command", "asgi", "wsgi", "moto", "smtp"]


def test_pythonpath_holds_files_named_like_standard_modules(tmp_path: Path) -> None:
    """Modules that Python imports at its own start are left to the user: no code of servicectx runs then."""
    for name in ("uuid", "dataclasses", "select", "queue", "secrets"):
        (tmp_path / f"{name}.py").write_text(
            "import os, sys\nif 'program.py' not in sys.argv[0]:\n    os._exit(3)\n"
            f"sys.path.remove({str(tmp_path)!r})\ndel sys.modules[__name__]\nimport {name}\n"
            f"sys.path.insert(0, {str(tmp_path)!r})\n"
        )
    program = tmp_path / "program.py"
    program.write_text(
        "from servicectx import managed\n"
        "for name in ('redis', 'postgres', 'moto'):\n"
        "    with managed(name) as details:\n"
        "        print(details.service)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, str(program)], env=environment, capture_output=True, text=True, timeout=110)
    assert done.stdout.split() == ["redis", "postgres", "moto"], done.stderr


def test_a_service_of_the_users_own_is_probed_by_a_module_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "checks.py").write_text("def answers(host, port, wait):\n    return {}\n")
    (tmp_path / "select.py").write_text(SHADOW)
    (tmp_path / "own.py").write_text(
        textwrap.dedent(
            """
            import select, sys

            sys.path.insert(0, sys.argv[1])
            from servicectx import Plan, Service, ServiceDetails, managed
            from servicectx.services.base import Ports

            class Own(Service):
                name = "own"
                Details = ServiceDetails

                def program(self, options):
                    return sys.executable

                def plan(self, options, program, secret):
                    command = [program, "-I", "-c", "import time; time.sleep(600)"]
                    probe = {"kind": "call", "target": "checks:answers"}
                    return Plan(service="own", command=command, environment={}, ready=probe, ports=Ports(owned=False))

            with managed(Own) as details:
                print(details.service)
            """
        )
    )
    work = tmp_path / "work"
    work.mkdir()
    shutil.copy(tmp_path / "checks.py", work)
    module = (tmp_path / "own.py").read_text().replace("sys.path.insert(0, sys.argv[1])\n", "")
    for start in (["-P", str(tmp_path / "own.py"), str(tmp_path)], ["-c", module]):
        done = subprocess.run([sys.executable, *start], capture_output=True, text=True, timeout=60, cwd=work)
        assert done.stdout.split() == ["own"], done.stderr
