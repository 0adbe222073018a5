"""Small projects, each made for one test and run by a real pytest."""

import shutil
import textwrap
from pathlib import Path
from typing import Any

from tests.integrations import runs
from tests.integrations.runs import Run

INI = """
[pytest]
addopts = -p forking -p no:cacheprovider -p no:anyio -p no:asyncio
pythonpath = .
filterwarnings =
    error
    ignore:.*use of fork:DeprecationWarning
"""

HELPING = """
import json
import os
import time
import redis
from journal import note


def use(details):
    note("use", details, url=details.url)


def wait_for(what, count=1):
    until = time.monotonic() + 30
    while True:
        with open(os.environ["JOURNAL"]) as lines:
            if sum(json.loads(line)["what"] == what for line in lines) >= count:
                return
        assert time.monotonic() < until
        time.sleep(0.01)


def server(details):
    with redis.Redis.from_url(details.url) as client:
        return client.info("server")["process_id"]
"""

# The same as pytest-forked does: each test in a forked child, session fixtures included.
FORKING = """
import os
import pickle
import pytest
from _pytest.runner import runtestprotocol


def pytest_addoption(parser):
    parser.addoption("--forked", action="store_true")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item):
    if not item.config.getoption("forked"):
        return None
    hook, config = item.config.hook, item.config
    hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            reports = runtestprotocol(item, log=False)
            with open(writing, "wb") as pipe:
                pickle.dump([hook.pytest_report_to_serializable(config=config, report=each) for each in reports], pipe)
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        for data in pickle.load(pipe):
            hook.pytest_runtest_logreport(report=hook.pytest_report_from_serializable(config=config, data=data))
    os.waitpid(child, 0)
    hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
"""


class Project:
    """A directory with a pytest.ini, the given modules, and the journal."""

    def __init__(self, folder: Path, **modules: str) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        for name, text in {"helping": HELPING, "forking": FORKING, **modules}.items():
            path = folder.joinpath(*name.split("__")).with_suffix(".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(text))
        shutil.copy(Path(runs.__file__).with_name("journal.py"), folder)
        (folder / "pytest.ini").write_text(INI)

    def start(self, *arguments: str, **environment: Any) -> Run:
        return Run(self.folder, " ".join(["pytest", *arguments]), **environment)

    def run(self, *arguments: str, status: int = 0, **environment: str) -> Run:
        """Run the project to its end, and check its exit status and that nothing is left."""
        run = self.start(*arguments, **environment).end()
        assert run.process.returncode == status, run.output
        for problem in ("ResourceWarning", "Exception ignored", "INTERNALERROR", "Exception in thread"):
            assert problem not in run.output, run.output
        return run
