"""The pool: files and locks, without a server."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from servicectx.isolation.pool import BASE, MISSED, RETURNED, SERVED, Pool, source_of


def make(pool: Pool, name: str, source: str = BASE) -> None:
    taken = pool.begin_ahead(name, source)
    pool.publish(taken, source)


def test_what_was_claimed_is_nobody_else_s(pool: Pool) -> None:
    make(pool, "sc_1")
    taken = pool.claim(BASE)
    assert taken is not None
    assert taken.name == "sc_1"
    assert pool.claim(BASE) is None
    assert list(pool.returned()) == []
    assert pool.users() == {os.getpid()}
    taken.release()
    taken.release()
    (returned,) = pool.returned()
    assert returned.name == "sc_1"
    assert list(pool.returned()) == [], "this process holds it again"
    returned.discard()
    assert pool.users() == set()


def test_what_is_kept_is_never_returned(pool: Pool) -> None:
    taken = pool.begin("sc_1", BASE)
    assert taken is not None
    pool.keep(taken)
    assert list(pool.returned()) == []
    assert [path.name for path in pool.kept.iterdir()] == ["sc_1"]


def test_one_that_is_on_its_way_is_waited_for(pool: Pool) -> None:
    assert pool.wait(BASE, 5) is None, "no namespace is in the making"
    coming = pool.begin_ahead("sc_1", BASE)
    began = time.monotonic()
    assert pool.wait(BASE, 0.2) is None, "it took too long"
    assert 0.2 <= time.monotonic() - began < 2
    threading.Timer(0.2, lambda: pool.publish(coming, BASE)).start()
    taken = pool.wait(BASE, 5)
    assert taken is not None
    assert taken.name == "sc_1"


def test_one_whose_maker_died_is_removed_and_never_claimed(pool: Pool) -> None:
    coming = pool.begin_ahead("sc_1", BASE)
    assert list(pool.returned()) == []
    coming.release()
    assert pool.wait(BASE, 0.1) is None
    assert [taken.name for taken in pool.returned()] == ["sc_1"]


def test_a_pool_that_is_gone_gives_nothing(tmp_path: Path) -> None:
    pool = Pool(tmp_path / "nowhere")
    assert pool.claim(BASE) is None
    assert pool.begin("sc_1", BASE) is None
    assert not pool.send_event(RETURNED)


def test_telling_never_blocks(pool: Pool) -> None:
    assert not pool.send_event(RETURNED), "the FIFO has no reader"
    events = pool.open_events()
    began = time.monotonic()
    for _ in range(20_000):
        assert pool.send_event(SERVED + BASE)
    assert time.monotonic() - began < 10
    os.close(events)


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (SERVED + BASE, (SERVED, BASE)),
        (MISSED + "servicectx_0a", (MISSED, "servicectx_0a")),
        (RETURNED, (RETURNED, "")),
        ("+../../etc", (RETURNED, "")),
        ("+", (RETURNED, "")),
        ("nonsense", (RETURNED, "")),
    ],
)
def test_a_line_that_makes_no_sense_is_only_a_knock(line: str, event: tuple[str, str]) -> None:
    assert source_of(line) == event


CROWD = """
import os, signal, sys
from pathlib import Path
from servicectx.isolation.pool import Pool
pool, mine = Pool(Path(sys.argv[1])), []
sys.stdin.readline()
while taken := pool.claim("base"):
    mine.append(taken)
    print(taken.name, flush=True)
    if len(mine) % 2:
        taken.release()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_crowd_never_shares_one(pool: Pool) -> None:
    for number in range(300):
        make(pool, f"sc_{number}")
    command = [sys.executable, "-c", CROWD, str(pool.directory.parent)]
    crowd = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    had = [name for process in crowd for name in process.communicate("go\n", timeout=60)[0].split()]
    assert len(had) == 300
    assert len(set(had)) == 300
    assert {taken.name for taken in list(pool.returned())} == set(had)
