"""The fake service, and the checks for custom services."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from servicectx import BinaryNotFound, Isolation, Plan, Template, managed
from servicectx.testing import FakeDetails, FakeOptions, FakeService, Usage, check_service


def test_the_fake_keeps_what_it_is_told() -> None:
    with managed(FakeService) as fake:
        assert fake.ask("SET colour dark green") == "dark green"
        assert fake.ask("GET colour") == "dark green"
        assert fake.ask("GET size") == ""


def test_the_fake_refuses_a_wrong_password() -> None:
    with managed(FakeService) as fake, pytest.raises(PermissionError, match=r"password='\*\*\*'"):
        fake.model_copy(update={"password": "guess"}).ask("GET colour")


def test_the_fake_says_lines_into_its_log() -> None:
    lease = managed(FakeService)
    with lease as fake:
        fake.ask("SAY something-rare")
        assert lease.log_path is not None
        assert "something-rare" in Path(lease.log_path).read_text()


def test_the_fake_takes_files_as_set_up(tmp_path: Path) -> None:
    file = tmp_path / "set-up"
    file.write_text("SET one 1\nSET two 2\n")
    with managed(FakeService, setup=file) as fake:
        assert [fake.ask("GET one"), fake.ask("GET two")] == ["1", "2"]


def test_the_fake_honours_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_FAKE_BIN", sys.executable)
    with managed(FakeService) as fake:
        assert fake.ask("GET nothing") == ""
    monkeypatch.setenv("SERVICECTX_FAKE_BIN", str(tmp_path))
    with pytest.raises(BinaryNotFound, match="SERVICECTX_FAKE_BIN is set"), managed(FakeService):
        pass


def test_the_fake_keeps_its_promises() -> None:
    check_service(FakeService, usage=Usage(_put, _get))


def _put(details: FakeDetails, name: str, value: str) -> None:
    details.ask(f"SET {name} {value}")


def _get(details: FakeDetails, name: str) -> str | None:
    return details.ask(f"GET {name}") or None


class Prepared(FakeService):
    """A service with prepared data in the cache."""

    def plan(self, options: FakeOptions, program: str, secret: str) -> Plan:
        template = Template(key="fake-prepared", command=["/bin/mkdir", "{data}"], files={})
        return super().plan(options, program, secret)._replace(template=template)


def test_the_cache_may_be_where_it_is_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVICECTX_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    check_service(Prepared)
    assert list(tmp_path.rglob("templates/fake*-????????????????"))


def test_options_reach_the_service_that_is_checked() -> None:
    with pytest.raises(Exception, match="exit status: 3"):
        check_service(FakeService, fail=3)


def test_a_check_restores_the_environment() -> None:
    before = dict(os.environ)
    check_service(FakeService)
    assert dict(os.environ) == before


class LeakyDetails(FakeDetails):
    secrets = frozenset()


class Leaky(FakeService):
    """A service with a password in `repr()`."""

    Details: ClassVar[Any] = LeakyDetails


class TokenDetails(FakeDetails):
    token: str


class Tokenless(FakeService):
    """A service that leaves out a field of its details."""

    Details: ClassVar[Any] = TokenDetails


class Misspelling(FakeService):
    """A service that gives a field that its details do not have."""

    def details(self, options: FakeOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        return {"password": secret, "pasword": secret}


@pytest.mark.parametrize(
    ("service", "problem"),
    [
        (Tokenless, r"Tokenless\.details\(\) lacks \['token'\], required by .*TokenDetails"),
        (Misspelling, r"Misspelling\.details\(\) gives \['pasword'\], unknown to .*FakeDetails"),
    ],
)
def test_details_have_exactly_their_fields(service: type[FakeService], problem: str) -> None:
    with pytest.raises(TypeError, match=problem), managed(service):
        pass


class TellTale(FakeService):
    """A service with the password on its command line."""

    def plan(self, options: FakeOptions, program: str, secret: str) -> Any:
        plan = super().plan(options, program, secret)
        return plan._replace(command=[*plan.command, f"--password={secret}"])


class Everywhere(FakeService):
    """A service that listens on every interface."""

    def plan(self, options: FakeOptions, program: str, secret: str) -> Any:
        plan = super().plan(options, program, secret)
        return plan._replace(files={"fake.json": plan.files["fake.json"].replace("{host}", "0.0.0.0")})


class Busy(FakeService):
    """A service with an extra first statement in its server."""

    first: ClassVar[str]

    def plan(self, options: FakeOptions, program: str, secret: str) -> Any:
        plan = super().plan(options, program, secret)
        command = [argument.replace("if config[", f"{self.first}\nif config[", 1) for argument in plan.command]
        return plan._replace(command=command)


class Careless(Busy):
    """A service that writes its password to a world-readable file."""

    first = "os.umask(0); open(sys.argv[1] + '.copy', 'w').write(config['password'])"


class Talkative(Busy):
    """A service that writes its password to its log."""

    first = "print(config['password'], flush=True)"


class Numbers(FakeDetails):
    def env(self) -> dict[str, str]:
        return {"FAKE_PORT": self.port}  # type: ignore[dict-item]


class Mistyped(FakeService):
    """A service with variables that are not texts."""

    Details: ClassVar[Any] = Numbers


class Deaf(FakeService):
    """A service that ignores the user's variable for its program."""

    def program(self, options: FakeOptions) -> str:
        return sys.executable


class Mute(FakeService):
    """A service without install commands."""

    install: ClassVar[dict[str, str]] = {}


@dataclass(frozen=True, kw_only=True)
class AnyOptions(FakeOptions):
    no_such_option: int = 0


class Tolerant(FakeService):
    """A service that accepts the check's unknown option."""

    Options: ClassVar[type] = AnyOptions


@pytest.mark.parametrize(
    ("service", "promise"),
    [
        (Leaky, "no secret shows in repr"),
        (TellTale, "no secret in"),
        (Everywhere, "loopback only"),
        (Careless, "which others can read, holds no secret"),
        (Talkative, "its log holds no secret"),
        (Mistyped, r"env\(\) holds texts"),
        (Deaf, "BinaryNotFound is raised"),
        (Mute, "how to install"),
        (Tolerant, "an unknown option raises InvalidOption"),
    ],
)
def test_a_broken_promise_is_named(service: type[FakeService], promise: str) -> None:
    with pytest.raises(AssertionError, match=f"broken: .*{promise}"):
        check_service(service)


class RoomDetails(FakeDetails):
    prefix: str = ""

    def env(self) -> dict[str, str]:
        return {"FAKE_URL": self.url, "FAKE_PREFIX": self.prefix}


class RoomPrefixes(Isolation[Any]):
    """Random prefixes."""

    def create(self) -> Any:
        return self.details.model_copy(update={"prefix": os.urandom(4).hex()})


class Rooms(FakeService):
    """A service with prefixes as namespaces."""

    Details: ClassVar[Any] = RoomDetails

    def isolation(self, details: Any, data: str = "") -> Isolation[Any]:
        return RoomPrefixes(details)


class VagueDetails(RoomDetails):
    def env(self) -> dict[str, str]:
        return {"FAKE_URL": self.url}


class Vague(Rooms):
    """A service with variables that ignore the namespace."""

    Details: ClassVar[Any] = VagueDetails


def test_variables_that_do_not_lead_to_a_namespace_are_named() -> None:
    usage = Usage(lambda at, name, text: _put(at, at.prefix + name, text), lambda at, name: _get(at, at.prefix + name))
    check_service(Rooms, usage=usage)
    with pytest.raises(AssertionError, match=r"broken: env\(\) leads to the namespace"):
        check_service(Vague, usage=usage)


class Sloppy(FakeService):
    """A service that writes files outside of its directory."""

    def run_files(self, details: FakeDetails, files: list[Path], program: str) -> None:
        raise NotImplementedError

    def details(self, options: FakeOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        (Path(os.environ["SERVICECTX_HOME"]) / "forgotten").touch()
        return super().details(options, facts, secret)


def test_a_file_that_stays_is_named() -> None:
    with pytest.raises(AssertionError, match=r"no file is left: .*forgotten"):
        check_service(Sloppy)


def test_it_needs_no_test_framework() -> None:
    script = "import sys, servicectx.testing; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pytest", "_pytest", "unittest", "behave", "psutil"} & set(modules)
