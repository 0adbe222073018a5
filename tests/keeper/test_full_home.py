"""A home without space at each moment of a start: the error names the cause at once, and no process waits in vain."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests import namespaces

SOON = 1.0  # seconds between the requester's error and the error of a process that waited for the same start

SCRIPT = """
import json, os, subprocess, sys, threading, time
import pathlib, psutil, servicectx
from tests import leftovers

place, options = sys.stdin.readline().split()
os.mkdir(place + "/tmpfs")
home = place + "/tmpfs/home"

def use(results):
    began = time.monotonic()
    try:
        with servicectx.managed("redis", timeout=8, linger=0.0, keep_data=False, setup=wait):
            results.append(["served", time.monotonic() - began, "", time.monotonic()])
    except BaseException as error:
        results.append([type(error).__name__, time.monotonic() - began, str(error), time.monotonic()])

def wait(details):
    time.sleep(0.05)

def mine():
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != "zombie" and home in " ".join(process.cmdline()):
                found.append(" ".join(process.cmdline())[-80:])
        except psutil.Error:
            continue
    return found

results = []
for option in options.split(","):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755," + option, "none", place + "/tmpfs"], check=True)
    os.mkdir(home)
    os.environ.update(SERVICECTX_HOME=home, SERVICECTX_CACHE="/nonexistent")
    requester, waiter = [], []
    threads = [threading.Thread(target=use, args=(outcome,)) for outcome in (requester, waiter)]
    threads[0].start()
    time.sleep(0.02)
    threads[1].start()
    for thread in threads:
        thread.join()
    until = time.monotonic() + 3
    while (left := mine()) and time.monotonic() < until:
        time.sleep(0.01)
    files = leftovers.files(pathlib.Path(home))
    results.append([option, requester[0], waiter[0], left, files])
    subprocess.run(["umount", "-l", place + "/tmpfs"], check=True)
print(json.dumps(results))
"""


def attempts(place: Any, options: list[str]) -> list[Any]:
    namespaces.require()
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", sys.executable, "-c", SCRIPT],
        input=f"{place} {','.join(options)}\n",
        env={
            name: value
            for name, value in os.environ.items()
            if not name.startswith("SERVICECTX_") or name == "SERVICECTX_TEST_PORTABLE"
        },
        cwd=namespaces.ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    "options",
    [
        [f"size={pages * 4}k" for pages in range(4, 22)],
        [f"nr_inodes={count}" for count in range(5, 34)],
    ],
    ids=["blocks", "inodes"],
)
def test_a_full_home_is_named_at_once_to_the_requester_and_to_those_who_wait(tmp_path: Any, options: list[str]) -> None:
    """With so many sizes that each write of a start meets the fault with one of them."""
    kinds = set()
    for option, (kind, took, text, at), (other_kind, _, other_text, other_at), processes, files in attempts(
        tmp_path, options
    ):
        for outcome, message in ((kind, text), (other_kind, other_text)):
            kinds.add(outcome)
            if outcome != "served":
                assert outcome == "HomeError", (option, outcome, message)
                assert "No space left on device" in message, (option, message)
                assert "free some space, or set SERVICECTX_HOME" in message, (option, message)
        assert took < 5, (option, took, text)
        assert kind == "served" or other_at - at < SOON, (option, text, other_text)
        assert processes == [], option
        assert files == [], option
    assert kinds == {"served", "HomeError"}, "the sizes reach from too small to large enough"
