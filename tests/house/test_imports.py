"""Imports: their direction, their cost, and the types of public names."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import servicectx

ROOT = Path(__file__).parents[2]

# From the top down. A package imports packages of lower lines, and itself.
ROOMS = [
    "servicectx.__main__",
    "servicectx.cli",
    "servicectx.testing",
    "servicectx.notebook",
    "servicectx",
    "servicectx._api",
    "servicectx._managed_all",
    "servicectx._isolated",
    "servicectx._managed",
    "servicectx._async",
    "servicectx.client",
    "servicectx.request",
    "servicectx.isolation.namespace",
    "servicectx.services",
    "servicectx.wire",
    "servicectx.isolation",
    "servicectx.keeper",
    "servicectx.isolation.pool",
    "servicectx.services.plan",
    "servicectx.services.quoting",
    "servicectx.datadirs",
    "servicectx.state",
    "servicectx.system",
    "servicectx.errors",
]

# Packages, with the only modules that may import them.
ONLY_IN = {
    "filelock": ("servicectx.state.key_lock",),
    "platformdirs": ("servicectx.state.paths",),
    "mirakuru": ("servicectx.keeper.server",),
    "psutil": ("servicectx.system", "servicectx.keeper", "servicectx.testing"),
    "pydantic": ("servicectx.services",),
    "click": ("servicectx.cli",),
    "rich": ("servicectx.cli",),
    "IPython": ("servicectx.notebook",),
    "pytest": (),
    "unittest": (),
    "behave": (),
}

# Expensive modules, imported inside functions.
LATE: tuple[str, ...] = (
    "asyncio",
    "concurrent.futures",
    "filelock",
    "importlib.metadata",
    "mirakuru",
    "platformdirs",
    "psutil",
)
LATE += (
    "IPython",
    "psycopg",
    "pydantic",
    "pytest",
    "redis",
    "servicectx.services.details",
    "unittest",
    "urllib.request",
)


class Import(NamedTuple):
    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}, line {self.line}, imports {self.imported}"


def modules(folder: Path, package: str) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        yield ".".join([package, *(part for part in parts if part != "__init__")]), path


def imports(folder: Path, package: str) -> list[Import]:
    """All imports: at the top, in functions, and for type checkers."""
    known = {name for name, _ in modules(ROOT / "servicectx", "servicectx")}
    found = []
    for name, path in modules(folder, package):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found += [Import(name, alias.name, node.lineno) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name}, line {node.lineno}: imports are absolute here"
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    found.append(Import(name, whole if whole in known else str(node.module), node.lineno))
    return found


def within(name: str, part: str) -> bool:
    return name == part or name.startswith(part + ".")


def rank(name: str) -> int:
    """Index in ROOMS of the longest name that contains this module."""
    places = [room for room in ROOMS if (within(name, room) if room != "servicectx" else name == room)]
    assert places, f"{name} has no place in ROOMS"
    return ROOMS.index(max(places, key=len))


OURS = imports(ROOT / "servicectx", "servicectx")
INTERNAL = [entry for entry in OURS if within(entry.imported, "servicectx")]
ADAPTERS = [
    entry
    for folder in sorted((ROOT / "integrations").glob("servicectx_*"))
    for entry in imports(folder, folder.name)
    if within(entry.imported, "servicectx")
]


def test_something_was_found() -> None:
    assert len(INTERNAL) > 50


def test_imports_go_down_only() -> None:
    assert not [str(entry) for entry in INTERNAL if rank(entry.importer) > rank(entry.imported)]


def test_imports_form_no_circle() -> None:
    """Imports for type checkers count, too. A package is not a module here: it holds only a docstring."""
    graph: dict[str, set[str]] = {}
    for entry in INTERNAL:
        graph.setdefault(entry.importer, set()).add(entry.imported)
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for below in graph.get(name, ()):
                visit(below, (*path, name))
            done.add(name)

    for name in list(graph):
        visit(name, ())


def test_the_root_is_small() -> None:
    assert len(list((ROOT / "servicectx").glob("*.py"))) <= 8


def test_packages_hold_docstrings_only() -> None:
    """A keeper imports modules of services, and must not load modules that only callers need."""
    for folder in ("client", "datadirs", "isolation", "keeper", "request", "services", "state", "system", "wire"):
        for path in (ROOT / "servicectx" / folder).rglob("__init__.py"):
            body = ast.parse(path.read_text(encoding="utf-8")).body
            assert len(body) == 1, path
            assert isinstance(body[0], ast.Expr), path


def test_services_see_neither_locks_nor_processes() -> None:
    seen = {entry.imported for entry in INTERNAL if within(entry.importer, "servicectx.services")}
    seen = {name for name in seen if not within(name, "servicectx.services")}
    assert {name for name in seen if within(name, "servicectx.keeper") or within(name, "servicectx.state")} == set()
    assert not [name for name in seen if within(name, "servicectx.datadirs")]


def test_requests_see_no_processes_of_a_start() -> None:
    seen = {entry.imported for entry in INTERNAL if within(entry.importer, "servicectx.request")}
    assert not [name for name in seen if within(name, "servicectx.keeper") or within(name, "servicectx.client")]


@pytest.mark.parametrize("package", ONLY_IN)
def test_a_package_is_imported_in_its_place_alone(package: str) -> None:
    strays = [entry for entry in OURS if within(entry.imported, package)]
    assert not [str(entry) for entry in strays if not any(within(entry.importer, place) for place in ONLY_IN[package])]


def test_adapters_use_public_names_alone() -> None:
    public = {*servicectx.__all__, "testing", "errors"}
    assert {entry.imported for entry in ADAPTERS} <= {"servicectx", "servicectx.errors", "servicectx.testing"}
    for folder in (ROOT / "integrations").glob("servicectx_*"):
        for name, path in modules(folder, folder.name):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                used: set[str] = set()
                if isinstance(node, ast.ImportFrom) and node.module == "servicectx":
                    used = {alias.name for alias in node.names}
                elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "servicectx":
                    used = {node.attr}
                assert used <= public, f"{name}, line {getattr(node, 'lineno', 0)}"


def test_adapters_import_nothing_of_each_other() -> None:
    for folder in sorted((ROOT / "integrations").glob("servicectx_*")):
        others = {entry.imported.partition(".")[0] for entry in imports(folder, folder.name)} - {folder.name}
        assert not [name for name in others if name.startswith("servicectx_")]


def modules_after(statement: str) -> set[str]:
    """Modules that a statement loads. -S: without the start-up imports of a development environment."""
    code = f"import sys; sys.path[:] = sys.argv[1].split(':'); {statement}; print(*sys.modules, sep='\\n')"
    search = ":".join([str(ROOT), *sys.path])
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, search], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_is_cheap() -> None:
    assert not any(within(name, "servicectx.") for name in modules_after("import servicectx"))
    seen = modules_after("from servicectx import managed")
    assert "servicectx._managed" in seen
    assert not seen & set(LATE)


def test_a_keeper_imports_nothing_of_its_callers() -> None:
    seen = modules_after("import servicectx.keeper.watchdog, servicectx.keeper.startup")
    assert "mirakuru.base" in seen
    packages = {"servicectx", "servicectx.services"}
    own = {name for name in seen if within(name, "servicectx")} - packages
    assert not [name for name in own if rank(name) < rank("servicectx.keeper")]
    assert not seen & {"pydantic", "filelock", "dataclasses", "inspect", "asyncio", "psutil", "http.client", "logging"}


# Modules that run in processes of their own, where no test replaces functions.
OWN_PROCESSES = [
    *("servicectx.cli", "servicectx.testing", "servicectx.system.originals", "servicectx.system.linux"),
    "servicectx.system.removal",  # runs as a script, too, without the package
    "servicectx.system.memory",
    "servicectx.datadirs",
    *(f"servicectx.isolation.{name}" for name in ("prefetcher", "pool_sizer", "user_watcher")),
    *(
        f"servicectx.keeper.{name}"
        for name in ("datadir", "events", "keeper", "ports", "prefetcher_process", "programs")
    ),
    *(f"servicectx.keeper.{name}" for name in ("requester", "server", "shutdown", "snapshot", "startup", "watchdog")),
    *(f"servicectx.services.{name}.server" for name in ("asgi", "moto", "mqtt", "smtp", "wsgi")),
    *(f"servicectx.services.{name}" for name in ("python_launcher", "serving")),
]


def test_what_runs_in_a_callers_process_uses_originals() -> None:
    replaced = [entry for entry in OURS if entry.imported in ("json", "select", "socket", "time")]
    assert not [str(entry) for entry in replaced if not any(within(entry.importer, name) for name in OWN_PROCESSES)]


def test_every_public_name_is_there() -> None:
    assert len(set(servicectx.__all__)) == len(servicectx.__all__)
    for name in servicectx.__all__:
        assert getattr(servicectx, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'manged'"):
        servicectx.manged  # noqa: B018


def test_the_lists_of_public_names_agree() -> None:
    """For type checkers, for the first use, and for `import *`."""
    tree = ast.parse((ROOT / "servicectx/__init__.py").read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    typed = {(str(node.module).removeprefix("servicectx."), name.name) for node in imports for name in node.names}
    for_ipython = {("notebook.extension", name) for name in ("load_ipython_extension", "unload_ipython_extension")}
    modules = {(module, name) for module, names in servicectx._MODULES.items() for name in names}
    assert typed | for_ipython == modules
    assert {name for _, name in typed} | {"__version__"} == set(servicectx.__all__)


def test_the_reference_has_every_public_name() -> None:
    text = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    for module, names in servicectx._MODULES.items():
        if (module.endswith("details") and module != "services.details") or module in ("errors", "notebook.extension"):
            continue  # the pages of the services, one entry for all errors, and a page for notebooks
        for name in names:
            place = getattr(servicectx, name).__module__
            assert f"::: {place}.{name}\n" in f"{text}\n", f"write `::: {place}.{name}` into docs/reference.md"


def test_public_names_are_seen_by_import_star_and_pickle() -> None:
    names: dict[str, object] = {}
    exec("from servicectx import *", names)
    assert set(servicectx.__all__) - {"__version__"} <= set(names)
