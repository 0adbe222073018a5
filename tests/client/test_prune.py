"""`servicectx prune` beside data that it cannot judge, with data of a dead instance, and at a terminal."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.cli.command import Terminal, cli

# A keeper that was killed right after it began the data of an instance: its lock is free.
BEGIN = """
import sys
from pathlib import Path
from servicectx.state import container, marked, paths
home = paths.home()
for name in sys.argv[1:]:
    container.begin(home / "data" / name, home, passable=False)
"""
NAMES = [f"redis-0123456789ab.0000000{number}" for number in range(5)]


def test_data_of_unknown_owners_are_left_alone_and_named(home: Path, tmp_path: Path) -> None:
    """Data without a record and data of another home stay. Data of this home goes, also that of an earlier boot."""
    subprocess.run([sys.executable, "-c", BEGIN, *NAMES], check=True)
    data = home / "servicectx-home" / "data"
    own, earlier_boot, recordless, damaged, foreign = (data / name for name in NAMES)
    (recordless / "record.json").unlink()
    (damaged / "record.json").write_text("[]")
    change(earlier_boot, origin=["another boot", "pid:[1]", "host"])
    other = tmp_path / "other" / "servicectx-home"
    (other / foreign.name).mkdir(parents=True)
    change(foreign, home=str(other), home_inode="1:1")
    with Terminal("prune", cwd=tmp_path, columns=500, SERVICECTX_HOME=str(home)) as terminal:
        question = terminal.expect(r"(?s)^(.*)Remove them\? \[y/N\]")[1]
        terminal.type("y\n")
        assert terminal.end() == 0
    for path in (recordless, damaged):
        assert f"{path}: left alone, no record names its home; remove it yourself" in question
    assert f"{foreign}: left alone, they belong to SERVICECTX_HOME={tmp_path / 'other'}" in question
    for path in (own, earlier_boot):
        assert f"{path}: data of a dead instance" in question
    assert sorted(path.name for path in data.iterdir()) == ["SERVICECTX.TAG", *NAMES[2:]]
    again = cli("prune", "--kept-data", "--yes", cwd=tmp_path)
    assert (again.returncode, again.stdout.count("left alone")) == (0, 3)
    for name in NAMES[2:]:
        assert (data / name / "lock").exists()
        shutil.rmtree(data / name)


def change(path: Path, **fields: Any) -> None:
    file = path / "record.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def test_live_data_in_memory_are_not_pruned_without_the_runtime_directory(tmp_path: Path) -> None:
    """The home is in XDG_RUNTIME_DIR, and `prune` runs without the variable, as in cron: it looks into another home."""
    code = """if True:
        import json, sys
        from servicectx import managed
        with managed("postgres", storage="memory") as pg:
            print(json.dumps(pg.url), flush=True)
            sys.stdin.readline()
            import psycopg
            with psycopg.connect(pg.url) as connection:
                print(connection.execute("select 42").fetchone(), flush=True)
    """
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    variables = {name: value for name, value in os.environ.items() if name not in ("SERVICECTX_HOME", "TMPDIR")}
    variables |= {"TMPDIR": str(tmp_path)}  # the home without XDG_RUNTIME_DIR is there
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=variables | {"XDG_RUNTIME_DIR": str(runtime)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as user:
        assert user.stdout is not None
        assert user.stdout.readline()
        (state,) = runtime.rglob("postgres-*.json")
        data = Path(json.loads(state.read_text())["data_directory"])
        for arguments in (["--yes"], ["--kept-data", "--yes"]):
            command = [sys.executable, "-m", "servicectx", "prune", *arguments]
            done = subprocess.run(command, env=variables | {"XDG_RUNTIME_DIR": ""}, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            assert str(data) not in done.stdout
        assert data.is_dir()
        out, _ = user.communicate("\n")
        assert out == "(42,)\n"
    assert not data.exists()
