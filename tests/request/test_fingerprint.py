"""The fingerprint of a set-up: stable where the code is the same, different after each change that counts."""

import functools
import inspect
import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import MethodType
from typing import Any, ClassVar

import pytest

from servicectx import managed
from servicectx.request.fingerprint import coded
from servicectx.testing import FakeDetails, FakeService

MODULE = '''
import functools, os
from pathlib import Path
HERE = os.path.dirname(os.path.abspath(__file__))
SCHEMA = Path(__file__).with_name("schema.sql")
ROWS = (("one", 1), ("two", 2.0), (b"three", None, True))
LIMIT = 10
NAMES = frozenset(["a", "b", "c", "d"])
runs = []
calls = 0
lock = __import__("threading").Lock()

def row(fake, name):
    fake.ask("SET a " + name)

def rows(fake):
    for name, *_ in ROWS:
        if name in {"x", "y", "z", "one", "two"}:
            row(fake, name)

class Base:
    prefix = "base"
    def write(self, fake):
        fake.ask("SET a " + self.prefix)

class Seeder(Base):
    sizes = (1, 2)
    def __init__(self, size):
        self.size = size
    def seed(self, fake):
        self.write(fake)
    def __call__(self, fake):
        self.write(fake)
    @staticmethod
    def plain(fake):
        Seeder(1).seed(fake)
    @classmethod
    def of_class(cls, fake):
        cls(2).seed(fake)

@functools.cache
def cached(name):
    return name.upper()

def seed(fake, size=3, *, kind="k"):
    """A docstring."""
    global calls
    calls += 1
    runs.append(1)
    def inner(name):
        return f"SET {name} {LIMIT}"
    fake.ask(inner("b"))
    with lock:
        rows(fake)
    print(HERE, SCHEMA, NAMES, cached("x"), __file__)

def closing(value):
    def run(fake):
        fake.ask(value)
    return run

helping = functools.partial(row, name="helped")
def uses_partial(fake):
    helping(fake)
def uses_class(fake):
    Seeder(3).seed(fake)
'''

STEPS = """
steps = {
    "seed": m.seed,
    "method": m.Seeder(1).seed,
    "object": m.Seeder(1),
    "static": m.Seeder.plain,
    "class": m.Seeder.of_class,
    "partial": functools.partial(m.row, name="p", path=m.SCHEMA),
    "closure": m.closing("v" + m.HERE),
    "uses_partial": m.uses_partial,
    "uses_class": m.uses_class,
    "lambda": lambda fake: m.row(fake, "l"),
}
"""
PROGRAM = f"""
import functools, sys
sys.path.insert(0, ".")
import migration_steps as m
from servicectx.request.fingerprint import coded
{STEPS}
for name, step in steps.items():
    print(name, coded(step))
"""


def fingerprints(text: str, place: Path, **environment: str) -> dict[str, str]:
    """The fingerprints of the set-ups in a module with this text, by another process."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "pyproject.toml").touch()
    (place / "migration_steps.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=place, env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = (line.partition(" ") for line in done.stdout.splitlines())
    return {name: text for name, _, text in lines}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return fingerprints(MODULE, tmp_path_factory.mktemp("project"))


def test_it_is_the_same_in_every_process_and_directory(before: dict[str, str], tmp_path: Path) -> None:
    assert len(before) == len(set(before.values())) == 10
    for seed in ("1", "2"):
        assert fingerprints(MODULE, tmp_path / f"checkout{seed}" / "deep", PYTHONHASHSEED=seed) == before
    assert not [text for text in before.values() if str(tmp_path.parent) in text or " at 0x" in text]


def test_it_is_the_same_in_another_virtual_environment(before: dict[str, str], tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    (tmp_path / "migration_steps.py").write_text(MODULE)
    (tmp_path / "pyproject.toml").touch()
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), *sys.path]))
    done = subprocess.run(
        [python, "-c", PROGRAM],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [f"{name} {text}" for name, text in before.items()]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\nimport functools", "# a comment\n\n\nimport functools"),
        ("def row(fake, name):\n", "def row(fake, name):\n\n    # why\n"),
        ('fake.ask("SET a " + name)', "fake.ask(\n        'SET a '\n        + name,\n    )"),
        ('if name in {"x", "y", "z", "one", "two"}:', "if name in {\n 'x',\n 'y', 'z', 'one', 'two',\n }:"),
        ("ROWS = (", "ROWS = (\n    "),
        ("runs = []", "runs = [1]"),
        ("calls = 0", "calls = 7"),
        ("def closing(value):", "def unused():\n    return 5\n\n\ndef closing(value):"),
        (
            'print(HERE, SCHEMA, NAMES, cached("x"), __file__)',
            'print(\n HERE,\n SCHEMA,\n NAMES, cached("x"), __file__)',
        ),
    ],
)
def test_comments_format_and_state_do_not_count(old: str, new: str, before: dict[str, str], tmp_path: Path) -> None:
    assert MODULE.count(old) == 1
    assert fingerprints(MODULE.replace(old, new), tmp_path / "project") == before


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ('"SET a " + name', '"SET b " + name', "seed partial uses_partial"),  # a constant in a helper
        ("\n        if name in", "\n        if name not in", "seed"),  # only the bytecode
        ("size=3", "size=4", "seed"),
        ('kind="k"', 'kind="l"', "seed"),
        ("LIMIT = 10", "LIMIT = 11", "seed"),  # read by an inner function
        ('("two", 2.0)', '("two", 2.5)', "seed"),
        ("None, True", "None, False", "seed"),
        ('["a", "b"', '["a", "e"', "seed"),
        ('"x", "y"', '"x", "w"', "seed"),
        ("name.upper()", "name.lower()", "seed"),  # behind a cache
        ('prefix = "base"', 'prefix = "basis"', "method object static class uses_class"),
        ("sizes = (1, 2)", "sizes = (1, 3)", "method object static class uses_class"),
        ('"SET a " + self.prefix', '"SET c " + self.prefix', "method object static class uses_class"),
        ("cls(2)", "cls(3)", "method object static class uses_class"),
        ('name="helped"', 'name="another"', "uses_partial"),
        ("        fake.ask(value)", "        fake.ask(value + '1')", "closure"),
        ('return f"SET {name} {LIMIT}"', 'return f"SET {LIMIT} {name}"', "seed"),
        ("def row(fake, name):", "def row(fake, name, *, path=None):", "seed partial uses_partial"),
    ],
)
def test_a_change_counts(old: str, new: str, changed: str, before: dict[str, str], tmp_path: Path) -> None:
    assert MODULE.count(old) == 1
    after = fingerprints(MODULE.replace(old, new), tmp_path / "project")
    assert {name for name in before if before[name] != after[name]} == set(changed.split())


def test_names_of_arguments_count_because_a_partial_may_use_them() -> None:
    def make(text: str) -> Any:
        names: dict[str, Any] = {"__name__": "steps"}
        exec(text, names)
        return functools.partial(names["seed"], a=1, b=2)

    assert coded(make("def seed(a, b): return a - b")) != coded(make("def seed(b, a): return b - a"))


def test_closures_and_arguments_count() -> None:
    def closing(value: Any) -> Any:
        return lambda fake: fake.ask(value)

    def seed(value: Any, fake: FakeDetails) -> None: ...

    values = (1, 1.0, "1", b"1", True, None, (1,), (1, 2), ((1,),))
    for make in (closing, lambda value: functools.partial(seed, value)):
        assert len({coded(make(value)) for value in values}) == len(values)


def seeded(data: Any, fake: FakeDetails) -> None: ...


class Node:
    """An object that refers to others. Its hash decides on its place in a set."""

    def __init__(self, name: str, place: int) -> None:
        self.name = name
        self.links: Any = []
        Node.places[id(self)] = place

    places: ClassVar[dict[int, int]] = {}

    def __hash__(self) -> int:
        return Node.places[id(self)]


class Nodes(set[Any]):
    """A subclass of set."""


def linked(places: tuple[int, ...], links: str = "bc ca dd a") -> list[Node]:
    """The nodes a, b, c and d; each refers to the nodes that `links` has for it."""
    nodes = {name: Node(name, place) for name, place in zip("abcd", places, strict=True)}
    for node, names in zip(nodes.values(), links.split(), strict=True):
        node.links = [nodes[name] for name in names]
    return sorted(nodes.values(), key=hash)


@pytest.mark.parametrize(
    "kind",
    [set, frozenset, Nodes, dict.fromkeys, lambda nodes: [set(nodes)] * 2, lambda nodes: {"a": frozenset(nodes)}],
)
def test_members_that_refer_to_each_other_have_no_order(kind: Any) -> None:
    def text(places: tuple[int, ...], links: str = "bc ca dd a") -> str:
        return coded(functools.partial(typical, kind(linked(places, links))))

    orders = [text(places) for places in itertools.permutations(range(4))]
    assert len(set(orders)) == 1
    assert text((0, 1, 2, 3), "bc ca dd b") not in orders


def test_the_order_of_a_dict_does_not_count() -> None:
    def text(order: str) -> str:
        nodes = {node.name: node for node in linked((0, 1, 2, 3))}
        return coded(functools.partial(seeded, {name: nodes[name] for name in order}))

    assert len({text("".join(order)) for order in itertools.permutations("abcd")}) == 1


def test_sets_of_objects_with_sets_take_little_time() -> None:
    """Each of 40 objects refers to all others: the number of paths between them is above 10**47."""

    def text(change: str) -> str:
        nodes = [Node(str(number), number) for number in range(40)]
        for node in nodes:
            node.links = set(nodes)
        nodes[-1].name += change
        return coded(functools.partial(seeded, set(nodes)))

    assert text("") == text("") != text("x")


def test_members_of_a_set_in_a_member_of_a_set_count() -> None:
    def text(place: str) -> str:
        node = Node("a", 1)
        node.links = {(Path(place), Node.__hash__)}
        return coded(functools.partial(seeded, {node}))

    assert text("a") == text("a") != text("b")


def at_depth(depth: int, function: Any) -> Any:
    """The result of a function that is called with `depth` frames on the stack."""
    missing = depth - len(inspect.stack(0))
    return deeper(missing, function) if missing > 0 else function()


def deeper(frames: int, function: Any) -> Any:
    return deeper(frames - 1, function) if frames > 1 else function()


def chain(kind: Any) -> Any:
    value: Any = None
    for _ in range(200):
        value = kind(value)
    return value


def nested_objects(value: Any) -> Any:
    node = Node("a", 1)
    node.links = {"x": value}
    return node


def nested_class(value: Any) -> Any:
    class Local:
        def method(self) -> Any:
            return value

    return Local


def nested_methods(value: Any) -> Any:
    return MethodType(functools.partial(typical), value or 1)


@pytest.mark.parametrize(
    "kind",
    [
        *(lambda value: [value], lambda value: {"a": value}, lambda value: frozenset([value])),
        *(lambda value: lambda: value, lambda value: functools.partial(typical, value), nested_objects, nested_class),
        *(nested_methods, lambda value: frozenset([(value,)])),
    ],
)
def test_deep_values_have_a_text_on_a_deep_stack(kind: Any) -> None:
    """The limit of Python is 1000 frames, and test frameworks call with hundreds on the stack."""
    value = chain(kind)
    assert sys.getrecursionlimit() == 1000
    step = functools.partial(typical, value)
    assert at_depth(600, lambda: coded(step)) == coded(step) == at_depth(900, lambda: coded(step))


def test_helpers_of_helpers_have_a_text_on_a_deep_stack() -> None:
    module: dict[str, Any] = {"__name__": "steps"}
    exec("\n".join(f"class C{n}:\n def f(self): return C{n + 1}, f{n}\ndef f{n}(): C{n}()" for n in range(200)), module)
    assert at_depth(600, lambda: coded(module["f0"])) == coded(module["f0"])


class Proxy:
    """An object that must not be asked outside of its context, as those of web frameworks."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("outside of its context")


current = Proxy()


def test_proxies_of_the_module_are_not_asked() -> None:
    def seed(fake: FakeDetails) -> None:
        print(current)

    assert coded(seed) == coded(seed)


def test_a_set_up_that_changes_its_module_has_one_instance() -> None:
    module: dict[str, Any] = {"__name__": "steps", "runs": [], "count": 0}
    exec("def seed(fake):\n    global count\n    count += 1\n    runs.append(1)\n", module)
    with managed(FakeService, setup=module["seed"]) as first, managed(FakeService, setup=module["seed"]) as second:
        assert first.port == second.port
    assert module["count"] == 1


def typical(fake: FakeDetails, size: int = 3) -> None:
    """A set-up of usual length, with helpers."""
    for number in range(size):
        fake.ask(f"SET key{number} {prefix()}")
    fake.ask("GET key1")


def prefix() -> str:
    return "-".join(["a", "b", "c"])


def test_nothing_random_is_in_it() -> None:
    assert re.fullmatch(r"tests\.request\.test_fingerprint:typical:[0-9a-f]{16}", coded(typical))
