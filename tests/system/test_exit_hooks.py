"""Processes that end without leaving, and children that must not leave on behalf of their parent."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.detector import wait_for
from tests.leftovers import end, files, processes

ROOT = Path(__file__).parents[2]


def run(script: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a new process to its end."""
    return subprocess.run(
        [sys.executable, *flags, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_interpreter_exit_without_leaving_warns_and_releases(home: Path) -> None:
    done = run(
        "from servicectx import managed\nm = managed('redis')\nprint(m.__enter__().port)",
        "-W",
        "always::ResourceWarning",
    )
    assert done.returncode == 0, done.stderr
    assert "ResourceWarning" in done.stderr
    assert "was never left" in done.stderr
    assert not processes(home)
    assert not files(home)


def test_an_object_that_is_dropped_warns_and_releases(home: Path) -> None:
    done = run(
        "import gc, os, pathlib\nfrom tests.leftovers import files\nfrom servicectx import managed\n"
        "managed('redis').__enter__()\ngc.collect()\nprint(files(pathlib.Path(os.environ['SERVICECTX_HOME'])))",
        *("-W", "always::ResourceWarning"),
    )
    assert done.stderr.count("was never left") == 1
    assert done.stdout.strip() == "[]", "it was released at once, not at exit"


def test_sys_exit_and_exceptions_in_the_body_leave(home: Path) -> None:
    for last in ("raise SystemExit(3)", "1 / 0", "import sys; sys.exit(4)"):
        done = run(f"from servicectx import managed\nwith managed('redis'):\n    {last}")
        assert done.returncode in (1, 3, 4)
        assert "ResourceWarning" not in done.stderr
        assert not processes(home)


def test_os_exit_and_a_deadly_signal_leave_it_to_the_kernel(home: Path) -> None:
    for last in ("os._exit(0)", "os.kill(os.getpid(), 15)", "os.abort()"):
        run(f"import os\nfrom servicectx import managed\nwith managed('redis'):\n    {last}")
        wait_for(lambda: not processes(home) and not files(home), 2)


FORKS = """
import multiprocessing, os, sys, threading
from servicectx import managed

def child(details):
    import redis
    redis.Redis.from_url(details.url).incr("children")
    with managed("redis") as again:
        assert again.port == details.port

def parent():
    with managed("redis") as details:
        for way in ("fork", "spawn", "forkserver"):
            process = multiprocessing.get_context(way).Process(target=child, args=(details,))
            process.start()
            process.join(30)
            assert process.exitcode == 0
        if os.fork() == 0:
            sys.exit(0)            # runs this block's end and the exit hooks, in the child
        os.wait()
        if os.fork() == 0:
            try:
                raise LookupError
            finally:
                return             # so does a return
        os.wait()
        import redis
        with redis.Redis.from_url(details.url) as client:
            assert client.get("children") == b"3"
            assert client.ping()
        print("served to the end")

if __name__ == "__main__":
    parent()
"""


def test_children_of_every_kind_do_not_leave_for_their_parent(home: Path, tmp_path: Path) -> None:
    script = tmp_path / "forks.py"
    script.write_text(FORKS)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "served to the end" in done.stdout
    wait_for(lambda: not processes(home), 2)  # the fork server ends after its parent


def test_a_child_that_outlives_its_parent_does_not_keep_the_service(home: Path) -> None:
    """The child inherits copies of all open files of its parent, including locks."""
    script = (
        "import os, time\nfrom servicectx import managed\n"
        "m = managed('redis')\nm.__enter__()\n"
        "child = os.fork()\nif child == 0:\n    os.close(1)\n    time.sleep(60)\n    os._exit(0)\n"
        "print(child, flush=True)\nos._exit(0)"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.wait(30)
    try:
        wait_for(lambda: [process.pid for process in processes(home)] == [child], 2)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_child_may_use_the_library_itself(home: Path) -> None:
    script = """
import os, sys
from servicectx import managed
with managed("redis") as mine:
    if os.fork() == 0:
        with managed("redis") as same:
            os._exit(0 if same == mine else 9)
    assert os.wait()[1] == 0
    print("the parent's is there still:", managed("redis").__class__.__name__)
"""
    done = run(script)
    assert done.returncode == 0, done.stderr
    assert not processes(home)


def test_no_pipe_of_the_caller_is_kept_open(home: Path) -> None:
    """A reader of a script's output must not wait for a service that lingers."""
    done = run("from servicectx import managed\nwith managed('redis', linger=30):\n    print('done')")
    assert done.stdout == "done\n"
    assert processes(home), "it lingers"
    end(home)
    run("from servicectx import managed\nwith managed('redis', name='sweeper'):\n    pass")


def test_two_event_loops(home: Path) -> None:
    script = """
import asyncio, threading
from servicectx import managed, managed_all

async def use(found):
    async with managed("redis") as details, managed_all("redis", "redis") as (one, two):
        assert one == two == details
        found.append(details.port)
        await asyncio.sleep(0.3)

found = []
threads = [threading.Thread(target=lambda: asyncio.run(use(found))) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
asyncio.run(use(found))
assert len(found) == 3 and found[0] == found[1], found
"""
    done = run(script, "-W", "error")
    assert done.returncode == 0, done.stderr
    assert not processes(home)


def test_a_cancelled_task_leaves_nothing(home: Path) -> None:
    script = """
import asyncio, sys
from servicectx import managed

async def main():
    for wait in (0.001, 0.05, 0.1, 0.2, 0.4):
        try:
            async with asyncio.timeout(wait):
                async with managed("command", command=[sys.executable, "-c", "import time; time.sleep(60)", "{port}"]):
                    raise AssertionError("it cannot become ready")
        except TimeoutError:
            pass

asyncio.run(main())
"""
    done = run(script, "-W", "error")
    assert done.returncode == 0, done.stderr
    assert not processes(home)
    assert not files(home)
