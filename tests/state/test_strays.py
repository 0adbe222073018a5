"""The conformance checks find files of an instance outside its home, and ignore files of other programs there."""

import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from servicectx.services.plan import Leftovers
from servicectx.testing import FakeDetails, FakeOptions, FakeService, Usage, check_service, privacy, surroundings
from tests.services.test_testing import Busy

PLACES = [place for place in surroundings.PLACES if os.path.isdir(place)]  # /dev/shm exists only on Linux

# The content of a file at a fixed path, and the message of the check.
STRAYS = {
    "a password": ("config['password']", "no secret lies outside its directory: {}"),
    "its process id": ("str(os.getpid())", "it writes outside its directory: {}"),
    "where it is": ("'read ' + sys.argv[1]", "it writes outside its directory: {}"),
}


@pytest.fixture
def name() -> Iterator[str]:
    """The name of a file that a server creates outside its home; it is removed afterwards."""
    name = f"sctx-stray-{os.urandom(8).hex()}.pid"
    yield name
    for place in (*PLACES, tempfile.gettempdir()):
        Path(place, name).unlink(missing_ok=True)


def writing(path: Path, content: str, epilogue: str = "") -> type[FakeService]:
    """A service that writes `content` into a file at `path`; the file stays open unless `epilogue` closes it."""

    class Strewing(Busy):
        first = f"os.umask(0); kept = open({str(path)!r}, 'w'); kept.write({content}); kept.flush(); {epilogue}"

    return Strewing


@pytest.mark.parametrize("place", [*PLACES, "the temporary directory", "the user's home"])
@pytest.mark.parametrize("stray", STRAYS)
def test_a_file_at_a_fixed_place_is_named(
    stray: str, place: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pwd, "getpwuid", {os.geteuid(): SimpleNamespace(pw_dir=str(tmp_path))}.__getitem__)
    known = {"the temporary directory": tempfile.gettempdir(), "the user's home": str(tmp_path)}
    path = Path(os.path.realpath(known.get(place, place)), name)
    written, promise = STRAYS[stray]
    with pytest.raises(AssertionError, match=f"broken: {promise.format(path)}"):
        check_service(writing(path, written, "kept.close()"))


def test_a_file_in_a_hidden_directory_at_home_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pwd, "getpwuid", {os.geteuid(): SimpleNamespace(pw_dir=str(tmp_path))}.__getitem__)
    for folder in (".there", "Documents"):
        (tmp_path / folder).mkdir()
    # The checks do not search directories without a leading dot.
    check_service(writing(tmp_path / "Documents/stray", "config['password']", "kept.close()"))
    with pytest.raises(AssertionError, match=r"no secret lies outside its directory: .*/\.there/stray"):
        check_service(writing(tmp_path / ".there/stray", "config['password']", "kept.close()"))


def test_a_file_that_it_leaves_at_its_end_is_named(name: str) -> None:
    path = Path("/tmp", name)
    at_end = f"lambda *_: [open({str(path)!r}, 'w').write(config['password']), os._exit(0)]"

    class Parting(Busy):
        first = f"signal.signal(signal.SIGTERM, {at_end})"

    with pytest.raises(AssertionError, match=f"no secret lies outside its directory: {os.path.realpath(path)}"):
        check_service(Parting)


def test_a_file_that_it_holds_open_is_named(name: str) -> None:
    path = Path(os.path.realpath(PLACES[-1]), name)
    with pytest.raises(AssertionError, match=f"it writes outside its directory: {path}"):
        check_service(writing(path, "'nothing of note'"))


def test_what_a_plan_says_that_it_leaves_is_no_stray(name: str) -> None:
    path = Path(PLACES[-1], name)

    class Frank(writing(path, "str(os.getpid())")):  # type: ignore[misc]
        def plan(self, options: FakeOptions, program: str, secret: str) -> Any:
            return super().plan(options, program, secret)._replace(leftovers=Leftovers([str(path)]))

    check_service(Frank)
    assert not path.exists()


def test_what_others_write_meanwhile_is_no_stray(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Existing files, lists of processes with names of directories, and a shared password are not strays either."""
    shared, old = "a password that all have", Path("/var/tmp", name)
    old.write_text("")

    class Popular(FakeService):
        def plan(self, options: FakeOptions, program: str, secret: str) -> Any:
            return super().plan(options, program, shared)

        def details(self, options: FakeOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
            old.write_text(str(facts["dir"]))
            listed = [" ".join(process.cmdline()) for process in privacy.processes(Path(facts["dir"]).parents[2])]
            Path("/tmp", name).write_text("\n".join([shared, *listed]))
            return {"password": shared}

    check_service(Popular)
    assert "sccheck-" in Path("/tmp", name).read_text()
    assert "sccheck-" in old.read_text()


class Detached(FakeService):
    """A service that starts a program which only the environment identifies."""

    started: ClassVar[list[subprocess.Popen[bytes]]] = []

    def details(self, options: FakeOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        self.started.append(subprocess.Popen(["sleep", "600"], cwd="/", start_new_session=True))
        return super().details(options, facts, secret)


def test_a_detached_program_that_stays_is_named() -> None:
    try:
        with pytest.raises(AssertionError, match=r"no process is left: .*name='sleep'"):
            check_service(Detached)
    finally:
        for process in Detached.started:
            process.kill()
            process.wait()


def test_programs_of_the_client_are_its_own() -> None:
    """Programs that the client started in its session do not belong to the service."""
    started = []

    def get(details: FakeDetails, name: str) -> str | None:
        started.append(subprocess.Popen(["sleep", "600"], cwd="/"))
        return details.ask(f"GET {name}") or None

    def put(details: FakeDetails, name: str, value: str) -> None:
        details.ask(f"SET {name} {value}")

    try:
        check_service(FakeService, usage=Usage(put, get))
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert started
