"""`servicectx cache export` and `import`: copies travel in a file; a hostile or damaged file changes nothing."""

import contextlib
import io
import json
import os
import shutil
import stat
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from servicectx.cli import app
from servicectx.datadirs import archive, prepared
from servicectx.datadirs.cache import SNAPSHOTS, SPARES, TEMPLATES, Cache
from servicectx.datadirs.label import Label
from servicectx.state import marked
from tests import ordinary

FIRST, SECOND = "redis-0123456789abcdef", "postgres-fedcba9876543210"
STORED = 1_000_000_000  # when the first copy was stored, in seconds since 1970
IN_FIRST = f"servicectx-cache/templates/{FIRST}"
Member = tuple[tarfile.TarInfo, bytes]


def filled(place: Path) -> Cache:
    """A cache below `place` with a template and a snapshot, with odd modes, links and an old time."""
    source = place / "source"
    (source / "deep").mkdir(parents=True)
    for name, mode in (("plain", 0o640), ("deep/open", 0o666), ("deep/run", 0o775), ("locked", 0o400)):
        (source / name).write_bytes(name.encode() * 1000)
        (source / name).chmod(mode)
    (source / "deep").chmod(0o770)
    (source / "deep" / "up").symlink_to("../plain")
    marked.make(place / "servicectx-cache", marked.CACHE)
    cache = Cache(place / "servicectx-cache", 1_000_000)
    for kind, name, setup in ((TEMPLATES, FIRST, ""), (SNAPSHOTS, SECOND, "migrate (12345678)")):
        label = Label(name.partition("-")[0], "17.2", setup, "/project" if setup else "")
        cache.keep(source, cache.place(kind, name), "secret", named=label)
    os.utime(cache.place(TEMPLATES, FIRST), (STORED, STORED))
    return cache


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a full cache in `old`, and the variable set to an empty one in `new`."""
    filled(tmp_path / "old")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SERVICECTX_CACHE", str(tmp_path / "new"))
    return tmp_path


Command = Callable[..., str]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """`servicectx cache ARGUMENTS`, on the cache `of`. The result is its output, after the status of a failure."""

    def run(*arguments: str, of: str = "") -> str:
        with monkeypatch.context() as patch:
            patch.setenv("SERVICECTX_CACHE", of or os.environ["SERVICECTX_CACHE"])
            with pytest.raises(SystemExit) as ended:
                app.run(["cache", *arguments])
        output = capsys.readouterr()
        return (f"{ended.value.code} " if ended.value.code else "") + output.out + output.err

    return run


@pytest.fixture
def file(place: Path, command: Command) -> Path:
    """An archive of both copies."""
    command("export", "all.tar.gz", of="old")
    return place / "all.tar.gz"


def members(file: Path) -> list[Member]:
    with tarfile.open(file) as tar:
        return [(member, (tar.extractfile(member) or io.BytesIO()).read() if member.isreg() else b"") for member in tar]


def rewritten(file: Path, found: list[Member]) -> None:
    with tarfile.open(file, "w:gz") as tar:
        for member, content in found:
            member.size = len(content) if member.size >= 0 else member.size
            tar.addfile(member, io.BytesIO(content) if content else None)


def contents(folder: Path) -> dict[str, object]:
    """All files of a copy, with modes, contents and targets of links."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name, mode = str(path.relative_to(folder)), stat.S_IMODE(path.lstat().st_mode)
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif name != prepared.MANIFEST:
            found[name] = (mode, None if path.is_dir() else path.read_bytes())
    return found


def test_copies_travel_with_safe_modes_labels_and_times(place: Path, command: Command) -> None:
    before = time.time()
    output = command("export", "all.tar.gz", of="old")
    assert output.startswith("all.tar.gz: 2 copies of 56 kB, "), output
    assert stat.S_IMODE((place / "all.tar.gz").stat().st_mode) == 0o600
    assert not (place / "new").exists()
    assert command("import", "all.tar.gz").endswith(": 2 copies imported, 57 kB\n")
    new, old = Cache(place / "new" / "servicectx-cache", 1_000_000), Cache(place / "old" / "servicectx-cache", 1)
    for kind, name in ((TEMPLATES, FIRST), (SNAPSHOTS, SECOND)):
        copy = new.place(kind, name)
        restored = prepared.restore(copy, place / f"restored-{kind}")
        assert restored is not None
        assert restored["secret"] == "secret"
        found = contents(copy)
        assert found == contents(place / f"restored-{kind}")
        assert {name: value[0] for name, value in found.items() if isinstance(value, tuple)} == {
            "plain": 0o640,
            "deep": 0o750,
            "deep/open": 0o644,
            "deep/run": 0o755,
            "locked": 0o600,
        }
        assert found["deep/up"] == "../plain"
        assert prepared.last_used(copy) >= before - 1, "an import is a use"
        assert {path.lstat().st_uid for path in copy.rglob("*")} == {os.geteuid()}
    assert prepared.stored_at(new.place(TEMPLATES, FIRST)) == STORED, "details.setup shows this time"
    facts = [[(*entry[:2], *entry[5:]) for entry in found.entries()] for found in (new, old)]
    assert facts[0] == facts[1]
    assert sorted(os.listdir(new.path)) == [marked.MARKER, SNAPSHOTS, TEMPLATES]
    assert sorted(os.listdir(old.path)) == [marked.MARKER, SNAPSHOTS, TEMPLATES]
    assert sorted(os.listdir(place)) == [
        "all.tar.gz",
        "new",
        "old",
        *(f"restored-{kind}" for kind in (SNAPSHOTS, TEMPLATES)),
    ]

    inode = new.place(TEMPLATES, FIRST).stat().st_ino
    shutil.rmtree(new.place(SNAPSHOTS, SECOND) / "deep")  # not complete any more
    assert command("import", "all.tar.gz").endswith(": 1 copy imported, 28 kB; 1 copy already there\n")
    assert new.place(TEMPLATES, FIRST).stat().st_ino == inode
    assert prepared.is_prepared(new.place(SNAPSHOTS, SECOND))


def test_names_select_copies_and_services(place: Path, command: Command) -> None:
    for name in (FIRST, "redis"):
        assert "1 copy of 28 kB" in command("export", "one.tar.gz", name, of="old")
        found = [member.name for member, _ in members(place / "one.tar.gz")]
        assert [name for name in found if name.count("/") == 2] == [IN_FIRST]
    output = command("export", "two.tar.gz", "postgers", of="old")
    problem = f"no copy or service in {place}/old/servicectx-cache is called 'postgers'; did you mean 'postgres'?"
    assert output == f"1 servicectx: {problem}\n"
    assert f"there are: postgres, {SECOND}, redis, {FIRST}\n" in command("export", "two.tar.gz", "kafka", of="old")
    assert command("export", "two.tar.gz").startswith("1 servicectx: ")
    assert "no copies to export; make some, such as" in command("export", "two.tar.gz")
    assert not (place / "two.tar.gz").exists()
    assert "do not go with `export`" in command("--clear", "export", "two.tar.gz", of="old")


def test_only_complete_sealed_copies_are_exported(place: Path, command: Command) -> None:
    full = Cache(place / "old" / "servicectx-cache", 1_000_000)
    unmarked = full.place(TEMPLATES, "kafka-0123456789abcdef")
    shutil.copytree(place / "old" / "source", unmarked, symlinks=True)
    shutil.copytree(full.place(TEMPLATES, FIRST), full.place(SPARES, f"{FIRST}-0"), symlinks=True)
    with (full.place(SNAPSHOTS, SECOND) / "plain").open("r+b") as changed:
        changed.write(b"X")
    output = command("export", "all.tar.gz", of="old")
    assert "1 copy of 28 kB" in output
    assert f"servicectx: {SECOND} was left out: it is incomplete or was changed" in output
    assert "kafka-0123456789abcdef was left out: it is incomplete" in output
    assert "no copy or service" in command("export", "all.tar.gz", f"{FIRST}-0", of="old"), "spares do not travel"
    (full.place(TEMPLATES, FIRST) / ".servicectx").unlink()
    assert f"no copy can be exported ({FIRST}: it is incomplete" in command("export", "none.tar.gz", FIRST, of="old")
    assert not list(place.glob("*none*"))


def test_a_copy_with_a_link_out_of_it_is_left_out(place: Path, command: Command) -> None:
    (place / "old" / "source" / "out").symlink_to("/etc")
    full = Cache(place / "old" / "servicectx-cache", 1_000_000)
    full.keep(place / "old" / "source", full.place(TEMPLATES, "etcd-0123456789abcdef"), "")
    assert "its link out leaves it" in command("export", "all.tar.gz", of="old")
    assert all("etcd" not in member.name for member, _ in members(place / "all.tar.gz"))


def test_plain_tar_unpacks_a_cache(file: Path, place: Path) -> None:
    with tarfile.open(file) as tar:
        tar.extractall(place / "plain", filter="data")
    unpacked = Cache(place / "plain" / "servicectx-cache", 1_000_000)
    (place / "plain" / "servicectx-cache").chmod(0o700)
    assert marked.is_marked(unpacked.path, marked.CACHE)
    assert [entry.name for entry in unpacked.entries()] == [SECOND, FIRST]


def _named(name: str, **fields: object) -> Callable[[list[Member]], list[Member]]:
    """A change of an archive: one more member after the first copy's directory."""

    def change(found: list[Member]) -> list[Member]:
        member = tarfile.TarInfo(name)
        for field, value in fields.items():
            setattr(member, field, value)
        at = next(number for number, (old, _) in enumerate(found) if old.name == IN_FIRST) + 1
        return [*found[:at], (member, b"" if fields else b"evil"), *found[at:]]

    return change


def _edited(name: str, content: Callable[[bytes], bytes]) -> Callable[[list[Member]], list[Member]]:
    return lambda found: [(member, content(old) if member.name.endswith(name) else old) for member, old in found]


def _without(name: str) -> Callable[[list[Member]], list[Member]]:
    return lambda found: [pair for pair in found if not pair[0].name.endswith(name)]


LINK, HARD, DEVICE, FIFO = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE
HOSTILE = {
    "absolute": (_named("/tmp/evil"), "the path '/tmp/evil' is absolute"),
    "upwards": (_named(f"{IN_FIRST}/../../../../evil"), "leaves the cache or is not plain"),
    "beside": (_named("servicectx-cache/spares/evil"), "unknown member 'servicectx-cache/spares/evil'"),
    "elsewhere": (_named("evil"), "unknown member 'evil': an archive of a cache has servicectx-cache/snapshots/NAME"),
    "hard link": (_named(f"{IN_FIRST}/evil", type=HARD, linkname=f"{IN_FIRST}/plain"), "is a hard link"),
    "device": (_named(f"{IN_FIRST}/evil", type=DEVICE), "is a device"),
    "fifo": (_named(f"{IN_FIRST}/evil", type=FIFO), "is a FIFO"),
    "link": (_named(f"{IN_FIRST}/evil", type=LINK, linkname="../../x"), "leads to '../../x', out of its copy"),
    "root": (_named(f"{IN_FIRST}/evil", type=LINK, linkname="/etc"), "leads to '/etc', out of its copy"),
    "chain": (_named(f"{IN_FIRST}/evil", type=LINK, linkname="a/../.."), "leads to 'a/../..', out of its copy"),
    "through": (
        lambda found: _named(f"{IN_FIRST}/d/evil")(_named(f"{IN_FIRST}/d", type=LINK, linkname="deep")(found)),
        "its directory is not",
    ),
    "twice": (_named(f"{IN_FIRST}"), "is there twice"),
    "copy twice": (lambda found: [*found[:-1], *found[2:]], "is there twice"),
    "other name": (_named("servicectx-cache/templates/redis"), "another version of servicectx made it"),
    "changed": (
        _edited(f"{FIRST}/plain", lambda old: old[:-1] + b"X"),
        "or was changed: its digest differs",
    ),
    "longer": (_edited(f"{FIRST}/plain", lambda old: old + b"X"), "or was changed: its digest differs"),
    "manifest": (_edited(f"{FIRST}/.servicectx", lambda old: old[1:]), "incomplete or was changed"),
    "no manifest": (_without(f"{FIRST}/.servicectx"), "incomplete or was changed"),
    "no file": (_without(f"{FIRST}/plain"), "incomplete or was changed"),
    "no directory": (_without(FIRST), f"templates/{FIRST} is not a directory"),
    "no head": (_without("export.json"), "its export.json is missing, so `servicectx cache export` did not write it"),
    "no end": (_without("end.json"), "it is half-written: its end.json is missing"),
    "head": (_edited("export.json", lambda _: b"[]"), "its export.json is damaged"),
    "format": (_edited("export.json", lambda _: b'{"format": 2}'), "it has the format 2, and this version"),
    "machine": (
        _edited("export.json", lambda old: json.dumps({**json.loads(old), "machine": "Plan9 vax"}).encode()),
        "its copies were made on Plan9 vax, this is ",
    ),
    "fewer": (_edited("end.json", lambda _: b'{"copies": []}'), "it names 0 copies and has 2"),
    "after": (lambda found: [*found, found[2]], "it goes on after its end"),
    "count": (_edited("end.json", lambda _: b'{"copies": 5}'), "it is incomplete or damaged"),
    "negative size": (_named(f"{IN_FIRST}/evil", type=tarfile.DIRTYPE, size=-(2**50)), "bytes; make the archive again"),
    "long header": (_named(f"{IN_FIRST}/evil", pax_headers={"comment": "x" * 2**21}), "a header has 20"),
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of both copies, for changes."""
    base = tmp_path_factory.mktemp("original")
    filled(base)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setenv("SERVICECTX_CACHE", str(base))
        with pytest.raises(SystemExit):
            app.run(["cache", "export", str(base / "all.tar.gz")])
    return base / "all.tar.gz"


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_is_refused_with_its_reason(original: Path, place: Path, case: str, command: Command) -> None:
    change, problem = HOSTILE[case]
    rewritten(place / "changed.tar.gz", change(members(original)))
    output = command("import", "changed.tar.gz")
    assert output.startswith("1 servicectx: changed.tar.gz: "), output
    assert problem in output
    new = Cache(place / "new" / "servicectx-cache", 1_000_000)
    assert ("were imported before" in output) == bool(new.entries())
    for entry in new.entries():
        assert prepared.restore(entry.path, place / entry.name) is not None
    assert not list(new.path.glob(".*")), "nothing half-made is left"
    assert not list(place.rglob("evil"))
    assert not Path("/tmp/evil").exists()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_archive_is_refused(original: Path, place: Path, share: float, command: Command) -> None:
    whole = original.read_bytes()
    (place / "half.tar.gz").write_bytes(whole[: int(len(whole) * share)])
    output = command("import", "half.tar.gz")
    assert output.startswith("1 servicectx: half.tar.gz: it is "), output
    assert "make the archive again with `servicectx cache export`" in output


def test_an_export_replaces_no_special_file(file: Path, place: Path, command: Command) -> None:
    os.mkfifo(place / "fifo")
    (place / "link").symlink_to("/dev/null")
    for name in ("fifo", "link"):
        before = os.lstat(place / name)
        assert "it exists and is not a regular file; name another file" in command(
            "export", str(place / name), of="old"
        )
        assert os.path.samestat(before, os.lstat(place / name))


def test_what_is_no_archive_is_refused(place: Path, command: Command) -> None:
    os.mkfifo(place / "fifo")
    (place / "text").write_text("no archive\n" * 1000)
    assert "missing cannot be read: No such file" in command("import", "missing")
    assert "fifo is not a regular file" in command("import", "fifo")
    assert "old is not a regular file" in command("import", "old")
    assert "text: it is incomplete or damaged" in command("import", "text")
    assert "nowhere/all was not written: No such file or directory" in command("export", "nowhere/all", of="old")


def test_the_limit_of_the_cache_holds(file: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_CACHE_SIZE", "30K")
    output = command("import", str(file))
    assert "its copies have more than the 30720 bytes of the cache; set SERVICECTX_CACHE_SIZE" in output


def test_a_python_without_the_filter_is_refused(file: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "NEEDED", ("no_such_filter", "3.99"))
    assert "this Python cannot unpack archives safely; use Python 3.99" in command("import", str(file))


IMPORT = """
import os, sys
from servicectx.cli import app
os.umask(0o077)
app.run(["cache", "import", sys.argv[1]] if sys.argv[1:] else ["cache", "import", os.environ["ARCHIVE"]])
"""


def test_another_account_imports(file: Path, place: Path) -> None:
    """The owner in the file counts for nothing: with root as owner, and setuid bits, an ordinary user imports it."""
    changed = members(file)
    for member, _ in changed:
        member.mode |= 0o6000
        member.uid, member.gid, member.uname = 4242, 4242, "somebody"
    with ordinary.user() as user:
        target = user.home.parent / "changed.tar.gz"
        rewritten(target, changed)
        target.chmod(0o644)
        done = user.run(IMPORT, ARCHIVE=str(target))
        assert "2 copies imported" in done.stdout, done.stderr
        status = [path.lstat() for path in (user.home.parent / "cache").rglob("*")]
        assert len(status) > 10
        owner = (user.home.parent / "cache").stat().st_uid
        assert {found.st_uid for found in status} == {owner}
        assert not [found for found in status if found.st_mode & 0o6022 and not stat.S_ISLNK(found.st_mode)]
    rewritten(place / "changed.tar.gz", changed)
    with pytest.raises(SystemExit):
        app.run(["cache", "import", str(place / "changed.tar.gz")])
    status = [path.lstat() for path in (place / "new").rglob("*")]
    assert {found.st_uid for found in status} == {os.geteuid()}
    assert not [found for found in status if found.st_mode & 0o6022 and not stat.S_ISLNK(found.st_mode)]
