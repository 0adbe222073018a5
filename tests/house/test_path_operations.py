"""Operations on a path that another account may have replaced since it was checked: each has its reason here.

An operation on a path follows the links in it, and a process id may belong to another process by now. So code of this
library works relative to open directories (`dir_fd`), on descriptors (`os.fchown`), and signals by
`processes.send`, which compares the start time. `ALLOWED` has the exceptions.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "servicectx"
FUNCTIONS = {
    *("chown", "lchown", "chmod", "lchmod", "rename", "renames", "replace", "rmdir", "removedirs"),
    *("link", "symlink", "truncate", "utime", "kill", "killpg"),
}
METHODS = {"chmod", "lchmod", "rename", "rmdir", "symlink_to", "hardlink_to", "rmtree"}
TRUSTED = "in the home or the cache, which belongs to this user, and no other account can write to it"

CHILD = "a child of this process: its id is not reused before this process has waited for it"
DESCRIPTOR = "its argument is a descriptor, or a name beside dir_fd"
READS = "it changes nothing"

ALLOWED = {
    "cli/checks.py:_data:disk_usage": READS,
    "cli/checks.py:_room:disk_usage": READS,
    "cli/child_process.py:run:kill": CHILD,
    "datadirs/cache.py:clear:rmdir": TRUSTED,
    "datadirs/cache_export.py:_make_safe:chmod": f"the copy of an export, {TRUSTED}",
    "datadirs/cache_export.py:export:replace": "a file that the user of the command named; the new file is beside it",
    "datadirs/cache_import.py:_finish:utime": TRUSTED,
    "datadirs/cache_import.py:_unpack:chmod": f"the copy of an import, {TRUSTED}",
    "datadirs/digests.py:_write:replace": TRUSTED,
    "datadirs/prepared.py:_touch:utime": DESCRIPTOR,
    "datadirs/prepared.py:drop:rename": TRUSTED,
    "datadirs/prepared.py:store:rename": TRUSTED,
    "datadirs/spare.py:_make:rename": TRUSTED,
    "datadirs/tree.py:_worker_process:kill": CHILD,
    "isolation/pool.py:claim:rename": TRUSTED,
    "isolation/pool.py:keep:rename": TRUSTED,
    "isolation/pool.py:publish:rename": TRUSTED,
    "keeper/programs.py:_copy:chmod": "in a container that the server's account has not entered yet",
    "keeper/programs.py:_keep:chmod": "in a marked directory of this user's that other accounts cannot write",
    "keeper/server.py:end:kill": CHILD,
    "keeper/server.py:end:killpg": "the process group of a child that is not reaped yet, or nothing",
    "services/postgres/stamps.py:_copy:utime": DESCRIPTOR,
    "services/postgres/stamps.py:stamp:utime": DESCRIPTOR,
    "services/postgres/stamps.py:stamps_are_reliable:utime": DESCRIPTOR,
    "state/container.py:_retire:rmdir": "an empty directory with a marker of this user's, which it holds open",
    "state/container.py:_write:replace": "in a container, which belongs to this user, beside the account's directory",
    "state/instance.py:keep_for_write_back:link": TRUSTED,
    "state/instance.py:write_back:replace": TRUSTED,
    "state/private_file.py:write_private:replace": TRUSTED,
    "system/checkpoints.py:_announce:link": "only in tests",
    "system/files.py:replace:replace": "a file that the user named; the new file is beside it",
    "system/linux.py:end_orphans:kill": CHILD,
    "system/processes.py:send:kill": "only without pidfd; the start time was compared right before",
    "system/removal.py:_make_readable:chmod": "a descriptor by its link in /proc; else with dir_fd",
    "testing/conformance.py:check_service:chmod": "a new temporary directory of this user's",
}


def operations(tree: ast.AST, function: str = "") -> Iterator[tuple[str, str]]:
    """The calls below `tree` without a directory's descriptor, each with the function that contains it."""
    for node in ast.iter_child_nodes(tree):
        inside = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else function
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            module = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            name, words = node.func.attr, [word.arg or "" for word in node.keywords]
            known = name in FUNCTIONS if module == "os" else (module == "shutil" and name != "which") or name in METHODS
            is_path = name == "replace" and module != "os" and len(node.args) == 1 and not node.keywords
            if (known or is_path) and not any(word.endswith("dir_fd") for word in words):
                yield inside, name
        yield from operations(node, inside)


FOUND = {
    f"{path.relative_to(ROOT)}:{function}:{name}"
    for path in sorted(ROOT.rglob("*.py"))
    for function, name in operations(ast.parse(path.read_text(encoding="utf-8")))
}


def test_each_operation_on_a_path_or_a_process_id_has_a_reason() -> None:
    new = sorted(FOUND - ALLOWED.keys())
    assert not new, (
        f"operations on a path or a process id: {new}\nwork relative to an open directory (dir_fd=), on a descriptor "
        "(os.fchown), or with processes.send; or add the operation and the reason why it is safe to ALLOWED"
    )
    assert not sorted(ALLOWED.keys() - FOUND), "remove what the code does not contain any more"
    assert all(ALLOWED.values())


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("os.chown(path, 0, 0)", ["chown"]),
        ("os.chown(name, 0, 0, dir_fd=folder, follow_symlinks=False)", []),
        ("os.rename(one, other, src_dir_fd=a, dst_dir_fd=b)", []),
        ("os.fchown(descriptor, 0, 0)", []),
        ("path.chmod(0o700)", ["chmod"]),
        ("(path / 'x').replace(other)", ["replace"]),
        ("text.replace('a', 'b')", []),
        ("import shutil\nshutil.move(a, b)", ["move"]),
        ("os.kill(pid, 9)", ["kill"]),
    ],
)
def test_what_is_found(code: str, names: list[str]) -> None:
    assert [name for _, name in operations(ast.parse(code))] == names
