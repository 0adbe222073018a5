"""The wall clock may jump: nothing is decided by it. It tells people since when, and how old a kept copy is."""

import ast
from pathlib import Path

HOUSE = Path(__file__).parents[2] / "servicectx"

FOR_PEOPLE = {
    "client/start.py": "since when an instance is there",
    "state/instance.py": "since when somebody holds the lock",
    "state/leases.py": "since when somebody uses it",
    "state/keep_record.py": "when the instance of kept data started",
    "datadirs/prepared.py": "what nobody has used for a month",
}


def test_the_wall_clock_decides_nothing() -> None:
    asked = set()
    for path in HOUSE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.time", "datetime.now", "time.localtime"):
                asked.add(str(path.relative_to(HOUSE)))
    assert {name for name in asked if not name.startswith("cli/")} == set(FOR_PEOPLE)
