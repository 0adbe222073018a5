"""Copies of a server's programs in a place that the server's account can reach.

A copy is named by the digest of its trees, so all installations of the same files share one. The digest is computed
once, and remembered by the paths and times of an installation.
"""

import os
import zlib
from pathlib import Path

from servicectx.datadirs import prepared, sealing
from servicectx.datadirs.tree import Owner, copy_tree
from servicectx.services.plan import Plan
from servicectx.state import paths
from servicectx.state.paths import PASSABLE

DEPTH = 3  # levels of directories below a tree, down to share/postgresql/extension


def within_reach(plan: Plan, container: Path, owner: Owner | None, cache: Path) -> Plan:
    """The plan with programs that `owner` can run: unchanged, with a prepared copy, or with a copy in `container`.

    A virtual environment often lies below a home directory that is closed to other accounts. No process of `owner`
    has entered the container yet. `cache` remembers digests.
    """
    if owner is None or plan.program_tree is None or paths.reachable(Path(plan.command[0])):
        return plan
    tree = Path(plan.program_tree)
    package = tree.parent
    libraries = package.with_name(f"{package.name}.libs")  # of wheels; programs find them by a relative path
    trees = [folder for folder in (tree, libraries) if folder.is_dir()]
    place = _keep(trees, package, plan.command[0], cache) or _copy(trees, package, container, owner)
    return _moved(plan, str(tree), str(place / package.name / tree.name))


def _keep(trees: list[Path], package: Path, program: str, cache: Path) -> Path | None:
    """Prepared copies that all starts share, hard links where possible; None where they cannot be stored."""
    passable = paths.passable_cache()
    if passable is None:
        return None
    digest = _digest(trees, program, cache)
    place = passable / f"{package.name}-{digest}"
    for folder in (place, place / package.name):
        paths.private(folder, PASSABLE)
        folder.chmod(PASSABLE)  # the umask may have removed bits; no other account can replace the folder
    copies = [place / tree.relative_to(package.parent) for tree in trees]
    for tree, copy in zip(trees, copies, strict=True):
        if not prepared.is_prepared(copy):
            prepared.store(tree, copy, link=True)
    return place if all(map(prepared.is_prepared, copies)) else None


def _digest(trees: list[Path], program: str, cache: Path) -> str:
    """The digest of all names, modes and contents in the trees. Raises OSError."""
    from servicectx.datadirs import digests  # only root's keepers need it, below a closed directory

    status = os.stat(program)
    facts = (status.st_size, status.st_dev, status.st_ino, status.st_mtime_ns)  # a hard link changes the other time
    stamp = f"{' '.join(map(str, facts))} {_stamp(trees):08x}"

    def compute() -> str:
        return sealing.manifest_checksum([sealing.digest(tree, exclude="") for tree in trees])[: digests.DIGITS]

    return digests.remembered(f"trees {trees[0]}", stamp, status.st_ctime_ns, compute, cache)


def _stamp(trees: list[Path]) -> int:
    """A number that changes when a file is added to a tree, such as an extension of Postgres, and with its path."""
    stamp, folders = 0, [(str(tree), DEPTH) for tree in trees]
    for folder, depth in folders:
        stamp = zlib.crc32(f"{folder} {os.stat(folder).st_mtime_ns}".encode(errors="surrogateescape"), stamp)
        if depth:
            with os.scandir(folder) as entries:
                names = sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
            folders += [(name, depth - 1) for name in names]
    return stamp


def _copy(trees: list[Path], package: Path, container: Path, owner: Owner) -> Path:
    place = container / "programs"
    for made in (place, place / package.name):
        made.mkdir(mode=PASSABLE)  # owned by this user: the account cannot add files beside the programs
        made.chmod(PASSABLE)
    for tree in trees:
        copy_tree(tree, place / tree.relative_to(package.parent), owner)
    return place


def _moved(plan: Plan, old: str, new: str) -> Plan:
    def moved(arguments: list[str]) -> list[str]:
        return [argument.replace(old, new) for argument in arguments]

    template = plan.template and plan.template._replace(command=moved(plan.template.command))
    environment = {name: value.replace(old, new) for name, value in plan.environment.items()}
    return plan._replace(command=moved(plan.command), environment=environment, template=template)
