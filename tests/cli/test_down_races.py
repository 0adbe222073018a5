"""`servicectx down` beside users that come and go: it stops instances without holders, and never disturbs a user."""

import json
import subprocess
import sys
from pathlib import Path

from tests.cli.command import COMMAND_TIMEOUT, cli, spawn
from tests.leftovers import wait_for_none

COME_AND_GO = """
import random, sys, time, redis, servicectx
for _ in range(12):
    with servicectx.managed("redis", linger=30) as details:
        with redis.Redis.from_url(details.url) as client:
            client.incr("visits")
            time.sleep(random.uniform(0, 0.05))
            client.incr("visits")
    time.sleep(random.uniform(0, 0.05))
"""


def test_users_who_come_and_go(tmp_path: Path, home: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    users = [
        subprocess.Popen([sys.executable, "-c", COME_AND_GO], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    statuses = []
    while any(user.poll() is None for user in users):
        statuses.append(cli("down", "--all", cwd=tmp_path).returncode)
    assert [user.communicate(timeout=COMMAND_TIMEOUT)[1] for user in users] == [""] * 4
    assert set(statuses) <= {0, 1}
    cli("down", "--all", cwd=tmp_path)
    assert not wait_for_none(home, 2.0)


def test_up_and_down_at_once(tmp_path: Path, home: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    for _ in range(3):
        every = [
            spawn(*arguments, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            for arguments in [("up", "redis", "-q"), ("down", "--all"), ("up", "redis", "-q"), ("down", "--all")]
        ]
        errors = [process.communicate(timeout=COMMAND_TIMEOUT)[1] for process in every]
        assert not [text for text in errors if "Traceback" in text]
        assert [process.returncode for process in every[::2]] == [0, 0], errors
        cli("down", "--all", "--force", cwd=tmp_path)
        assert json.loads(cli("status", "--json", cwd=tmp_path).stdout) == []
        assert not wait_for_none(home, 2.0)
