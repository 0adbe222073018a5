"""A directory of root with files. A test checks that it is unchanged."""

from pathlib import Path

DIRECTORIES = 64


class Canary:
    """A directory that only root can enter."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(mode=0o700)
        for number in range(DIRECTORIES):
            (path / str(number)).mkdir()
            (path / str(number) / "precious").write_text(f"root's {number}\n")
        (path / "file").write_text("root's\n")
        (path / "file").chmod(0o600)
        self._before = self._everything()

    def changes(self) -> list[str]:
        """Entries with another owner, mode, time of writing or content than at first."""
        now = self._everything()
        return sorted(name for name in now.keys() | self._before if now.get(name) != self._before.get(name))

    def _everything(self) -> dict[str, tuple[int, int, int, int, str]]:
        found = {}
        for path in [self.path, *self.path.rglob("*")]:
            status = path.lstat()
            content = path.read_text() if path.is_file() else ""
            attributes = (status.st_uid, status.st_gid, status.st_mode, status.st_mtime_ns, content)
            found[str(path.relative_to(self.path))] = attributes
        return found
