"""Code of a user that closes all descriptors, and then opens files under the same numbers."""

import pytest

from tests.caller.script import output

CLOSE_ALL = """
import os
from tests.caller.own_files import check, check_in_child, replace_descriptors
def close_all():
    return replace_descriptors(os.environ["FILES"])
"""


@pytest.fixture(autouse=True)
def files(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILES", str(tmp_path_factory.mktemp("files")))


def test_leaving_closes_no_file_of_the_user() -> None:
    code = f"""{CLOSE_ALL}
import servicectx
with servicectx.managed("redis"):
    files = close_all()
    assert files
check(files)
print("left")
"""
    assert output(code) == "left"


def test_a_forked_child_closes_no_file_of_the_user() -> None:
    code = f"""{CLOSE_ALL}
import servicectx
with servicectx.managed("redis"):
    files = close_all()
    check_in_child(files)
check(files)
print("left")
"""
    assert output(code) == "left"


def test_a_closed_lease_is_lost_and_the_service_ends(home: object) -> None:
    """Nothing hangs: the keeper stops the service, as after the death of a user."""
    code = f"""{CLOSE_ALL}
import time, servicectx
service = servicectx.managed("redis")
with service:
    close_all()
    until = time.monotonic() + 20
    while service.alive and time.monotonic() < until:
        time.sleep(0.02)
    print(service.alive)
"""
    assert output(code) == "False"


def test_closing_the_lower_descriptors_does_not_reach_the_lease() -> None:
    code = """
import os, resource, servicectx
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
service = servicectx.managed("redis")
with service:
    os.closerange(3, 256)
    with servicectx.managed("redis") as again:
        print(service.alive, again.port == service.details.port)
"""
    assert output(code) == "True True"


def test_a_database_of_ones_own_is_given_back_and_no_file_of_the_user_is_written_to() -> None:
    code = f"""{CLOSE_ALL}
import servicectx
with servicectx.managed("postgres") as pg:
    with servicectx.isolated(pg), servicectx.isolated(pg):
        files = close_all()
check(files)
print("left")
"""
    assert output(code) == "left"


def test_a_logical_database_is_given_back_and_no_file_of_the_user_is_written_to() -> None:
    code = f"""{CLOSE_ALL}
import servicectx
with servicectx.managed("redis") as redis:
    with servicectx.isolated(redis), servicectx.isolated(redis):
        files = close_all()
check(files)
print("left")
"""
    assert output(code) == "left"


def test_a_cached_connection_whose_number_is_the_users_socket_is_not_written_to() -> None:
    """A set-up that makes a template leaves cached connections; a socket of the user gets the number of one."""
    code = """
import os, socket, resource, servicectx
with servicectx.managed("postgres") as ours:
    os.environ["SERVICECTX_OUTSIDE_DETAILS"] = ours.model_dump_json()
    pg = servicectx.managed("postgres", name="outside").__enter__()
    with servicectx.isolated(pg, setup=lambda details: None):
        sockets = []
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
        for number in numbers:
            try:
                if number > 2 and os.readlink(f"/proc/self/fd/{number}").startswith("socket:"):
                    sockets.append(number)
            except OSError:
                pass
        assert sockets
        ours, theirs = socket.socketpair()
        for number in sockets:
            os.dup2(theirs.fileno(), number)
        ours.setblocking(False)
        try:
            with servicectx.isolated(pg, setup=lambda details: None):
                pass
        except servicectx.ServiceCtxError as error:
            print(error)
    try:
        print("written:", ours.recv(1000))
    except BlockingIOError:
        print("nothing was written")
    for number in sockets:
        os.fstat(number)
"""
    assert output(code).endswith("nothing was written")


def test_a_setup_that_closes_all_descriptors_is_named_as_the_cause() -> None:
    """The snapshot is taken after the set-up, through pipes that the set-up closed."""
    code = f"""{CLOSE_ALL}
import servicectx
kept = []
def setup(details):
    kept.append(close_all())
try:
    servicectx.managed("redis", setup=setup, snapshot="1").__enter__()
except servicectx.StartFailed as error:
    print("closed the pipes" in str(error), len(kept))
check(kept[0])
"""
    assert output(code) == "True 1"
