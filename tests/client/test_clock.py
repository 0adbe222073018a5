"""The wall clock may jump, so no decision depends on it. It only dates output, and the age of prepared data."""

import ast
from pathlib import Path

HOUSE = Path(__file__).parents[2] / "servicectx"

FOR_PEOPLE = {
    "client/start.py": "the start of an instance, for display",
    "state/key_lock.py": "the time of locking, for display",
    "state/leases.py": "the start of a lease, for display",
    "state/keep_record.py": "the start of the instance of kept data",
    "state/persistent.py": "the last start on persistent data, for display",
    "client/persistent_start.py": "the run of a set-up on persistent data, for display",
    "datadirs/cache_import.py": "the age of a copy that an archive brings: none is of the future",
    "datadirs/prepared.py": "prepared data that have not been used for a month",
}


def test_the_wall_clock_decides_nothing() -> None:
    users = set()
    for path in HOUSE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.time", "datetime.now", "time.localtime"):
                users.add(str(path.relative_to(HOUSE)))
    assert {name for name in users if not name.startswith("cli/")} == set(FOR_PEOPLE)
