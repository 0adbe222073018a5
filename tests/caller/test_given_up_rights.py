"""A user without access to its instances when it leaves: it gave up root, or the home became read-only."""

from pathlib import Path

import pytest

from tests.caller.root import require_root
from tests.caller.script import output
from tests.leftovers import wait_for_none

GIVE_UP = "os.setgroups([]); os.setgid(65534); os.setuid(65534)"
# A mount namespace, entered after the start: the keeper stays outside, and can write.
READ_ONLY = """
import ctypes, subprocess
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x00020000) == 0, ctypes.get_errno()
subprocess.run(["mount", "--make-rprivate", "/"], check=True)
home = os.environ["SERVICECTX_HOME"]
subprocess.run(["mount", "--bind", home, home], check=True)
subprocess.run(["mount", "-o", "remount,bind,ro", home], check=True)
try:
    open(home + "/x", "w")
except OSError as error:
    assert error.errno == 30, error
else:
    raise AssertionError("it can still be written")
"""
CHANGES = {"setuid": GIVE_UP, "read-only": READ_ONLY}


@pytest.fixture(params=sorted(CHANGES))
def change(request: pytest.FixtureRequest) -> str:
    require_root("mount")
    return CHANGES[request.param]


def test_leaving_frees_the_lease_and_the_keeper_removes_the_rest(change: str, home: Path) -> None:
    code = f"""
import encodings.idna, os, servicectx
service = servicectx.managed("redis")
with service:
    assert service.alive  # reads Python's modules now, since they may be out of reach later
    {change.strip().replace(chr(10), chr(10) + "    ")}
    assert service.alive
print("left", flush=True)
import time
for _ in range(1000):
    try:
        import socket
        socket.create_connection((service.details.host, service.details.port)).close()
    except ConnectionError:
        print("gone")
        break
    time.sleep(0.02)
"""
    assert output(code).split() == ["left", "gone"]
    assert not wait_for_none(home, 2.0)


def test_another_user_of_the_instance_goes_on(change: str, home: Path) -> None:
    code = f"""
import os, sys, servicectx
with servicectx.managed("redis") as details:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with servicectx.managed("redis") as again:
                assert again.port == details.port
                {change.strip().replace(chr(10), chr(10) + "                ")}
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status) if status == 0 else None
    assert os.waitpid(child, 0)[1] == 0
    with servicectx.managed("redis") as third:
        print(third.port == details.port)
"""
    assert output(code) == "True"
    assert not wait_for_none(home, 2.0)


def test_a_database_of_ones_own_is_given_back(change: str) -> None:
    code = f"""
import encodings.idna, os, servicectx
with servicectx.managed("postgres") as pg, servicectx.isolated(pg):
    {change.strip().replace(chr(10), chr(10) + "    ")}
print("left")
"""
    assert output(code) == "left"


def test_the_end_of_the_process_leaves_what_was_never_left(change: str, home: Path) -> None:
    code = f"""
import os, warnings, servicectx
warnings.simplefilter("ignore")
service = servicectx.managed("redis")
service.__enter__()
{change.strip()}
print("end")
"""
    assert output(code) == "end"
    assert not wait_for_none(home, 2.0)
