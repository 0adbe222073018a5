"""A dry run of a release: check version and changelog, build twice, check both distributions, try the wheel.

    make release                     build into dist/ and check; nothing is uploaded
    make release TAG=v0.1.0          the tag must equal the version, and the changelog must have a date

Failures end it with the cure. RELEASING.md has the steps around it.
"""

import argparse
import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests import wheel

ROOT = Path(__file__).parents[1]
EPOCH = "1767225600"  # 2026-01-01; files of both distributions get this date, unless SOURCE_DATE_EPOCH is set
PACKAGES = ("servicectx", "servicectx_behave", "servicectx_pytest", "servicectx_unittest")
GENERATED = (".git", ".venv", "venv", "*.egg-info", "build", "dist", "site", "__pycache__", ".*_cache", ".coverage*")
NOT_SOURCE = shutil.ignore_patterns(*GENERATED, "PKG-INFO")
HEADING = re.compile(r"^## (?P<version>\S+) - (?P<date>.+)$", re.MULTILINE)
CATEGORIES = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}  # of Keep a Changelog


def version() -> str:
    """`__version__` of the package, the one place of the version. The package is not imported."""
    module = ast.parse((ROOT / "servicectx/__init__.py").read_text(encoding="utf-8"))
    for node in module.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
            return str(ast.literal_eval(node.value))
    raise SystemExit("servicectx/__init__.py has no __version__")


def check_changelog(text: str, found: str, *, dated: bool) -> str:
    """The date of the topmost section, which must be the one of this version. Raises SystemExit."""
    heading = HEADING.search(text)
    if heading is None or heading["version"] != found:
        first = repr(heading[0]) if heading else "missing"
        raise SystemExit(
            f"CHANGELOG.md: the topmost heading is {first}, and __version__ is {found}; write '## {found} - DATE'"
        )
    following = HEADING.search(text, heading.end())
    section = text[heading.end() : following.start() if following else len(text)]
    categories = re.findall(r"^### (.+)$", section, re.MULTILINE)
    if not categories or not set(categories) <= CATEGORIES:
        raise SystemExit(f"CHANGELOG.md, {found}: the categories are {categories}; use {', '.join(sorted(CATEGORIES))}")
    if dated and not re.fullmatch(r"\d{4}-\d\d-\d\d", heading["date"]):
        raise SystemExit(f"CHANGELOG.md, {found}: {heading['date']!r} is not a date; write '## {found} - YYYY-MM-DD'")
    return heading["date"]


def check_tag(tag: str, found: str) -> None:
    if tag != f"v{found}":
        raise SystemExit(f"the tag is {tag}, and __version__ in servicectx/__init__.py is {found}; tag v{found}")


def source_files() -> set[str]:
    """The files of the project: those that Git tracks or would add; without Git, all but generated ones."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if (ROOT / ".git").exists() and listed.returncode == 0:
        return {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}
    found = set()
    for folder, folders, names in os.walk(ROOT):
        ignored = NOT_SOURCE(folder, [*folders, *names])
        folders[:] = [name for name in folders if name not in ignored]
        found |= {os.path.relpath(os.path.join(folder, name), ROOT) for name in names if name not in ignored}
    return found


def copy_source(folder: Path) -> None:
    for name in source_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)


def build(folder: Path) -> list[Path]:
    """Both distributions in `folder`, of a copy of the source; the wheel is built from the source distribution."""
    with tempfile.TemporaryDirectory(prefix="sctx-build-") as place:
        copy_source(Path(place))
        environment = {"SOURCE_DATE_EPOCH": EPOCH} | os.environ
        command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, place)
        wheel.run(*command, cwd=ROOT, environment=environment)
    return sorted([*folder.glob("*.whl"), *folder.glob("*.tar.gz")])


def check_reproducible(first: list[Path], second: list[Path]) -> None:
    digests = [
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths} for paths in (first, second)
    ]
    if digests[0] != digests[1]:
        different = ", ".join(name for name in digests[0] if digests[0][name] != digests[1].get(name))
        raise SystemExit(f"two builds of the same source differ: {different}; `diffoscope` shows the difference")


def check_metadata(files: list[Path]) -> None:
    """The description renders on PyPI, and the wheel has the packages and nothing else."""
    here = dict(os.environ)
    wheel.run(sys.executable, "-m", "twine", "check", "--strict", *files, cwd=ROOT, environment=here)
    packages = ("--toplevel", ",".join(PACKAGES))
    (built,) = (path for path in files if path.suffix == ".whl")
    wheel.run(sys.executable, "-m", "check_wheel_contents", *packages, built, cwd=ROOT, environment=here)


def check_complete(files: list[Path]) -> None:
    """The source distribution has every file of the project unchanged, so that its own `make test` runs."""
    (archive,) = (path for path in files if path.name.endswith(".tar.gz"))
    packed: dict[str, bytes] = {}
    with tarfile.open(archive) as opened:
        for member in opened.getmembers():
            file = opened.extractfile(member) if member.isfile() else None
            packed[member.name.partition("/")[2]] = file.read() if file else b""
    files_here = source_files()
    if absent := sorted(files_here - packed.keys()):
        raise SystemExit(f"{archive.name} lacks {', '.join(absent)}; add them to MANIFEST.in")
    if changed := sorted(name for name in files_here if (ROOT / name).read_bytes() != packed[name]):
        raise SystemExit(f"{archive.name} has another text of {', '.join(changed)}; see ExactSdist in setup.py")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make release", description=__doc__.partition("\n")[0])
    parser.add_argument("--tag", default="", help="the tag of the release, such as v0.1.0; without it, a dry run")
    tag = parser.parse_args().tag
    found = version()
    if tag:
        check_tag(tag, found)
    date = check_changelog((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), found, dated=bool(tag))
    print(f"servicectx {found}, {date}", flush=True)
    shutil.rmtree(wheel.DIST, ignore_errors=True)
    files = build(wheel.DIST)
    with tempfile.TemporaryDirectory(prefix="sctx-build-") as place:
        check_reproducible(files, build(Path(place)))
    check_complete(files)
    check_metadata(files)
    for path in files:
        print(f"{path.relative_to(ROOT)}, {path.stat().st_size // 1000} kB: complete, reproducible, metadata passed")
    wheel.main()
    print(f"Nothing was uploaded. Next: commit, wait for CI, then tag v{found}; see RELEASING.md")


if __name__ == "__main__":
    main()
