"""Root removes files of a server's account, while that account swaps directories for links."""

import os
import pwd
import subprocess
import sys
import time
from pathlib import Path

from servicectx.system.removal import MANY, remove_tree
from tests.hostile.intruder import FILL, SECONDS, Intruder

# When root has begun to remove the tree, replace its inner directory with a link.
REPLACE = (
    FILL.format(files=300)
    + """
while True:
    try:
        if len(os.listdir(inside)) < 64 or any(len(os.listdir(f"{inside}/{name}")) < FILES for name in (0, 31, 63)):
            os.rename(inside, tree + "/bbb")
            os.symlink(victim, inside)
            break
    except OSError:
        break
"""
)


def tree_of(place: Path, account: pwd.struct_passwd, number: int) -> Path:
    tree = place / f"x-{number}" / "data"
    tree.mkdir(mode=0o711, parents=True)
    os.chown(tree, account.pw_uid, account.pw_gid)
    return tree


def test_root_s_directories_elsewhere_keep_their_entries(
    place: Path, secret: Path, account: pwd.struct_passwd, intruder: Intruder
) -> None:
    until, rounds = time.monotonic() + SECONDS, 0
    while time.monotonic() < until or rounds < 3:
        tree = tree_of(place, account, rounds)
        intruder.start(REPLACE, tree, secret)
        remove_tree(tree.parent)
        assert len(list(secret.iterdir())) == 65
        assert not tree.parent.exists()
        rounds += 1


def test_a_directory_of_root_s_that_was_moved_there_keeps_its_entries(
    place: Path, theirs: Path, account: pwd.struct_passwd, intruder: Intruder
) -> None:
    """An account that can write the parent directory may move the directory, but not empty it."""
    tree = tree_of(place, account, 0)
    precious = theirs / "precious"
    precious.mkdir()
    precious.chmod(0o1777)  # else the kernel refuses to move it
    (precious / "file").write_text("root's\n")
    for number in range(MANY + 3):
        (tree / str(number)).mkdir()
        os.chown(tree / str(number), account.pw_uid, account.pw_gid)
    remains = tree / "7" / "moved"
    intruder.run("import os, sys; print(os.rename(*sys.argv[1:]))", precious, remains)
    remove_tree(tree.parent)
    assert (remains / "file").read_text() == "root's\n"
    assert [path.name for path in tree.iterdir()] == ["7"]


def test_a_mount_point_is_not_entered(place: Path) -> None:
    """Neither another file system nor a bind mount of the same one is entered."""
    script = f"""
        mkdir -p {place}/tree/data/bound {place}/tree/data/other {place}/outside
        touch {place}/outside/precious
        mount --make-rprivate / && mount --bind {place}/outside {place}/tree/data/bound
        mount -t tmpfs none {place}/tree/data/other && touch {place}/tree/data/other/precious
        "$0" -c "$1" {place}/tree
        ls {place}/outside {place}/tree/data/other
    """
    remove = "import sys; from servicectx.system import removal; removal.remove_tree(removal.Path(sys.argv[1]))"
    command = ["unshare", "-m", "/bin/sh", "-ec", script, sys.executable, remove]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    remains = [f"{place}/outside:", "precious", f"{place}/tree/data/other:", "precious"]
    assert done.stdout.split() == remains, done.stderr


def test_a_tree_deeper_than_there_are_descriptors(place: Path, account: pwd.struct_passwd, intruder: Intruder) -> None:
    tree = tree_of(place, account, 0)
    script = """
import os, sys
os.chdir(sys.argv[1])
for level in range(3000):
    os.mkdir("d")
    os.chdir("d")
print("done")
"""
    intruder.run(script, tree)
    remove_tree(tree.parent)
    assert not tree.parent.exists()
