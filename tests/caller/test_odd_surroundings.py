"""Odd surroundings: the service works, or a ServiceCtxError with a cure is raised at once, and nothing is left."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import ordinary
from tests.caller.root import require_root
from tests.caller.script import ROOT, output, run
from tests.leftovers import wait_for_none

USE = """
import servicectx
try:
    with servicectx.managed({service!r}) as details, servicectx.managed({service!r}) as again:
        print("works", details.port == again.port)
except servicectx.ServiceCtxError as error:
    print(type(error).__name__, error)
"""
REDIS, POSTGRES = USE.format(service="redis"), USE.format(service="postgres")
MOUNTS = ("unshare", "--mount", "--propagation", "private", "sh", "-c")
WORKS = "works True"


def mounted(commands: str) -> tuple[str, ...]:
    """Arguments that run a program in a new mount namespace, after these shell commands."""
    return (*MOUNTS, f'{commands} && exec "$0" "$@"')


def test_the_loopback_interface_is_down(home: Path) -> None:
    require_root("unshare")
    printed = output(REDIS, "unshare", "--net", seconds=100, SERVICECTX_TIMEOUT="250")
    assert printed.startswith("StartFailed")
    assert "ip link set lo up" in printed
    assert not wait_for_none(home, 0)


DOWN_LATER = """
import subprocess
from servicectx import managed, StartFailed
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
with managed("redis"):
    subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
    try:
        managed("redis", timeout=250).__enter__()
    except StartFailed as error:
        print(error)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with managed("redis") as redis:
        print("works again")
"""


def test_the_loopback_interface_is_down_at_a_join() -> None:
    """The kernel keeps the route of an interface that was up, so that connections time out."""
    require_root("unshare", "ip")
    printed = output(DOWN_LATER, "unshare", "--net", seconds=100)
    assert "ip link set lo up" in printed
    assert printed.endswith("works again")


def test_the_loopback_interface_is_brought_up_by_the_cure() -> None:
    require_root("unshare", "ip")
    assert output(REDIS, "unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$0" "$@"') == WORKS


def test_proc_is_not_mounted(home: Path) -> None:
    require_root("unshare", "mount")
    printed = output(REDIS, *mounted("mount -t tmpfs none /proc"))
    assert printed.startswith("StartFailed")
    assert "mount -t proc proc /proc" in printed
    assert not wait_for_none(home, 0)


@pytest.mark.parametrize("level", [1, 2])
def test_processes_of_others_are_hidden(level: int) -> None:
    """Root without the capability to see them, in a new process namespace."""
    require_root("unshare", "mount", "setpriv")
    commands = (
        f"mount -t proc -o hidepid={level} proc /proc; setpriv --reuid=65534 --clear-groups sleep 30 & "
        'setpriv --bounding-set -all --inh-caps -all "$0" "$@"; status=$?; kill $!; exit $status'
    )
    assert (
        output(REDIS, "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "sh", "-c", commands)
        == WORKS
    )


def test_a_user_id_without_passwd_entry() -> None:
    """Redis works. Postgres refuses to run, and the error has the missing line."""
    require_root()
    uid = 54321
    with ordinary.user() as user:
        user.switch = {"user": uid, "group": uid, "extra_groups": []}
        for name in ("home", "cache"):
            os.chown(user.home.parent / name, uid, uid)
        done = user.run(REDIS + POSTGRES)
        assert not wait_for_none(user.home, 2.0)
    works, refused = done.stdout.splitlines()
    assert works == WORKS
    assert refused.startswith("StartFailed postgres")
    assert refused.endswith(f"add one to /etc/passwd: test:x:{uid}:{uid}::/tmp:/bin/sh")


def test_the_working_directory_was_removed(tmp_path: Path, home: Path) -> None:
    gone = tmp_path / "gone"
    remove = ("sh", "-c", f'mkdir {gone}; cd {gone}; rmdir {gone}; exec "$0" "$@"')
    printed = output(REDIS, *remove)
    assert printed.startswith("ConfigError the working directory")
    assert 'scope="user"' in printed
    assert not wait_for_none(home, 0)
    assert output(REDIS.replace("'redis'", "'redis', scope='user'"), *remove) == WORKS


@pytest.mark.parametrize("executable", ["None", "''", "'/no/such/python3'", "'/bin/cat'"])
def test_an_executable_that_is_not_python(executable: str) -> None:
    """`sys.executable` is None or empty in some embedding programs, and another program in others."""
    assert output(f"import sys; sys.executable = {executable}\n{REDIS}") == WORKS


def test_no_python_at_all_lists_what_was_looked_at(home: Path) -> None:
    odd = (
        "import sys; sys.executable = sys._base_executable = '/bin/cat'; sys.exec_prefix = sys.base_exec_prefix = '/no'"
    )
    printed = output(f"{odd}\n{REDIS}")
    assert printed.startswith("BinaryNotFound")
    assert "/bin/cat" in printed
    assert "sys.executable" in printed
    assert not wait_for_none(home, 2.0)


@pytest.mark.parametrize("limit", [8, 9, 10, 11, 12, 14, 20])
def test_a_low_limit_of_open_files(limit: int, home: Path) -> None:
    printed = output(REDIS, "sh", "-c", f'ulimit -n {limit}; exec "$0" "$@"')
    assert printed == WORKS or re.match("(StartFailed|HomeError) ", printed), printed
    assert printed == WORKS or "ulimit -n" in printed, printed
    assert not wait_for_none(home, 2.0)


@pytest.mark.parametrize("code", [REDIS, POSTGRES], ids=["redis", "postgres"])
def test_root_without_capabilities(code: str, home: Path) -> None:
    require_root("setpriv")
    printed = output(code, "setpriv", "--bounding-set", "-all", "--inh-caps", "-all")
    assert printed == WORKS or (printed.startswith("StartFailed") and "--cap-add" in printed), printed
    assert not wait_for_none(home, 2.0)


@pytest.mark.parametrize("prepared", [True, False])
def test_a_shared_memory_of_one_megabyte(prepared: bool, tmp_path: Path) -> None:
    """Servers work with that. Postgres' initdb may not; it runs if no prepared data is cached.

    The test uses the default home. A name of its own keeps it from joining the server of another test there.
    """
    require_root("unshare", "mount")
    code = f"import os; del os.environ['SERVICECTX_HOME']\n{POSTGRES}".replace(
        "'postgres'", f"'postgres', name='small-{prepared}'"
    )
    small = mounted("mount -t tmpfs -o size=1m none /dev/shm")
    if prepared:
        variables: Any = {"SERVICECTX_CACHE": str(tmp_path)}
        assert output(code, **variables) == WORKS
        assert output(code, *small, **variables) == WORKS
    else:
        printed = output(code, *small, SERVICECTX_CACHE=str(tmp_path))
        assert printed == WORKS or (printed.startswith("StartFailed") and "--shm-size" in printed), printed


def test_no_directory_for_temporary_files() -> None:
    require_root("unshare", "mount")
    places = "for each in /tmp /var/tmp /dev/shm /run; do mount -t tmpfs -o ro none $each; done; cd /"
    forget = "for name in ('SERVICECTX_HOME', 'HOME', 'TMPDIR', 'XDG_RUNTIME_DIR'): os.environ.pop(name, None)"
    printed = output(f"import os\n{forget}\n{REDIS}", *mounted(places))
    assert printed.startswith("HomeError")
    assert "SERVICECTX_HOME" in printed


def test_no_place_for_data_beside_the_home(home: Path) -> None:
    """Only `SERVICECTX_HOME` is writable."""
    require_root("unshare", "mount")
    keep = f"mount -t tmpfs none /mnt; mkdir /mnt/kept; mount --bind {home} /mnt/kept"
    places = f"{keep}; for each in /tmp /var/tmp /dev/shm /run; do mount -t tmpfs -o ro none $each; done; cd /"
    variables: Any = {"SERVICECTX_HOME": "/mnt/kept", "SERVICECTX_CACHE": "/mnt/kept/cache"}
    assert output(REDIS, *mounted(places), **variables) == WORKS


def test_the_command_line_says_the_cure_as_well(tmp_path: Path) -> None:
    require_root("unshare")
    command = ["unshare", "--net", sys.executable, "-m", "servicectx", "run", "redis", "--", "true"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 125
    assert "ip link set lo up" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_refused_start_can_be_repeated() -> None:
    """A start that failed on a full table of descriptors works when some are free again."""
    code = f"""
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
full = []
try:
    while True:
        full.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
for each in full[:3]:
    os.close(each)
{REDIS}
for each in full[3:]:
    os.close(each)
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
{REDIS}
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("StartFailed"), done.stdout
    assert done.stdout.rstrip().endswith(WORKS)
