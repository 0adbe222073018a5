"""Every service below directories with odd names: its files, its programs, the caller's project and Python."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servicectx import HomeError, InvalidOption, NotIsolable, isolated, managed
from servicectx.services import registry
from tests.services import table
from tests.services.row import Row

ROOT = str(Path(__file__).parents[2])
PRINTABLE = "".join(map(chr, range(32, 127))).replace("/", "")
NOT_ASCII = "größe 数据 😀"
ENDS = "a\\/b /c'/d\"/#e/%f/{dir}"  # characters that may end a text in a configuration file
BYTES = os.fsdecode(b"caf\xe9")
LONG = "x" * 200  # twice the limit for the path of a Unix socket

ROWS = [pytest.param(row, id=str(row)) for row in table.rows()]


def made(place: Path) -> Path:
    """Make the directory and its parents accessible to every account."""
    place.mkdir(parents=True)
    for folder in (place, *place.parents):
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 0o001:
            folder.chmod(0o711)
    return place


def contents(place: Path) -> list[str]:
    return sorted(os.path.join(folder, name) for folder, _, files in os.walk(place) for name in [*files, ""])


@contextlib.contextmanager
def nothing_left(place: Path) -> Iterator[None]:
    """Check that nothing is left below `place` except the files of a first instance, and nothing beside it."""
    home = Path(os.environ["SERVICECTX_HOME"])
    with managed("command", name="first", command=[sys.executable, "-c", SERVE, "{port}"]):
        pass
    before = contents(place), contents(home)
    yield
    assert (contents(place), contents(home)) == before


SERVE = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(99)"


def used(row: Row, **options: Any) -> None:
    """Start the service, use it with its usual client, and check that a namespace is separate."""
    usage = table.usage(row.service)
    with managed(row.service, timeout=100, **row.options, **options) as details:
        if usage:
            usage.put(details, "colour", "green")
            assert usage.get(details, "colour") == "green"
        with contextlib.suppress(NotIsolable), isolated(details) as mine:
            assert usage is None or usage.get(mine, "colour") is None


@pytest.fixture
def place(run_directory: Path, home: Path) -> Path:
    """A directory with a short path that every account can traverse, removed after the test."""
    return made(home.with_name(f"{home.name}-odd"))


@pytest.mark.timeout(250)
@pytest.mark.parametrize("row", ROWS)
def test_a_home_with_every_printable_character(row: Row, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table.require(str(row))
    monkeypatch.setenv("SERVICECTX_HOME", str(made(place / PRINTABLE / ENDS)))
    monkeypatch.setenv("SERVICECTX_CACHE", str(made(place / "cache" / PRINTABLE)))  # files are also copied there
    with table.chosen(row), nothing_left(place / PRINTABLE):
        used(row)
    assert {path.name for path in place.iterdir()} == {PRINTABLE, "cache"}


@pytest.mark.timeout(250)
@pytest.mark.parametrize("row", ROWS)
def test_long_storage_with_letters_of_other_languages(
    row: Row, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The programs are below a link with every printable character except the colon, which separates directories."""
    table.require(str(row))
    storage = made(place / NOT_ASCII / LONG)
    with table.chosen(row), nothing_left(place):
        if row.binary:
            service = registry.find(row.service)
            folder = Path(service.program(service.options(row.options))).parent
            link = tmp_path / PRINTABLE.replace(":", "")
            link.symlink_to(folder.parent)
            monkeypatch.setenv(f"SERVICECTX_{row.service.upper()}_BIN", str(link / folder.name))
        used(row, storage=str(storage))


@pytest.mark.parametrize("service", ["redis", "etcd", "zookeeper", "kafka", "smtp", "wsgi", "nats"])
def test_a_home_whose_name_is_not_utf_8(service: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = next(row for row in table.rows() if row.service == service)
    table.require(service)
    monkeypatch.setenv("SERVICECTX_HOME", str(made(place / BYTES)))
    with nothing_left(place):
        used(row)


@pytest.mark.parametrize(
    ("service", "name", "problem"),
    [
        ("postgres", "a\nb", "postgres takes no line break in the path"),
        ("rabbitmq", BYTES, r"rabbitmq takes no byte 0xe9 \(which is not UTF-8\) in the path"),
        ("postgres", "/".join([LONG] * 5), "bytes, and postgres takes no more than 900"),
        ("mariadb", "/".join([LONG] * 3), "bytes, and mariadb takes no more than 400"),
    ],
)
def test_what_a_server_cannot_take_is_refused_before_it_starts(
    service: str, name: str, problem: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.require(service)
    home = made(place / name)
    monkeypatch.setenv("SERVICECTX_HOME", str(home))
    with pytest.raises(HomeError, match=problem) as caught, managed(service):
        pass
    assert str(home) in str(caught.value)
    assert "SERVICECTX_HOME" in caught.value.cure
    assert "storage=" in caught.value.cure
    with managed(service, storage=str(made(place / "plain")), timeout=100):  # the cure in the error works
        pass


@pytest.mark.timeout(120)
def test_a_project_and_a_python_with_every_printable_character(place: Path) -> None:
    """The keeper's search path has a colon; an app's directory, the path of its Python and its home have all."""
    project = made(place / PRINTABLE / "project {port}")
    (project / "shop.py").write_text("from tests.services.sample_apps import asgi, wsgi\n")
    python = made(place / f"env{PRINTABLE}" / "bin")
    (python / "python").symlink_to(os.path.realpath(sys.executable))
    (python.parent / "pyvenv.cfg").write_text(f"home = {os.path.dirname(os.path.realpath(sys.executable))}\n")
    packages = python.parent / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}"
    packages.mkdir(parents=True)
    (packages / "site-packages").symlink_to(Path(pytest.__file__).parents[1])
    (project / "library").symlink_to(ROOT)
    script = (
        "import sys; sys.path.insert(0, 'library')\n"
        "from servicectx import managed\n"
        "with managed('asgi', app='shop:asgi') as a, managed('wsgi', app='shop:wsgi') as w, managed('etcd') as e:\n"
        "    a.write('details of \\'a\\'.json'); print(a.read('details of \\'a\\'.json') == a, sys.executable)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    command = [str(python / "python"), "-c", script]
    result = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert result.stdout == f"True {python}/python\n", result.stderr


# -- names that users choose ---------------------------------------------------------------------------------------

ODD_NAME = "o'd\"d \\ n#m%e {port} ö"


@pytest.mark.parametrize("service", ["postgres", "mariadb"])
def test_users_and_databases_with_odd_names(service: str) -> None:
    table.require(service)
    row = next(row for row in table.rows() if row.service == service)
    user = ODD_NAME if service == "mariadb" else re.sub(r"[\"$'\\]", "", ODD_NAME)
    used(row._replace(options={"user": user, "dbname": f"{ODD_NAME}?"}))


@pytest.mark.parametrize("user", ['a"; drop', "o'd", "$x", "a\\"])
def test_a_user_whom_initdb_would_not_make_is_refused(user: str) -> None:
    with pytest.raises(InvalidOption, match="initdb makes no such user"):
        managed("postgres", user=user).__enter__()


def test_a_setting_of_postgres_may_be_any_text() -> None:
    import psycopg

    text = f"{PRINTABLE}/\n\tö"
    with managed("postgres", settings={"servicectx.text": text}) as pg, psycopg.connect(pg.url) as connection:
        assert connection.execute("show servicectx.text").fetchone() == (text.replace("{dir}", pg.host),)


@pytest.mark.parametrize("service", ["redis", "mqtt", "rabbitmq"])
@pytest.mark.parametrize("settings", [{"heartbeat": "1\nmore 2"}, {"a b": "1"}, {"a\nb": "1"}, {"a=1\nb": "c"}])
def test_a_setting_that_would_be_two_is_refused(service: str, settings: dict[str, str]) -> None:
    table.require(service)
    with (
        pytest.raises(InvalidOption, match=r"a line break|not the name of a setting"),
        managed(service, settings=settings),
    ):
        pass


def test_the_variables_of_odd_paths_are_what_a_shell_reads(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from servicectx.cli import env_formats

    monkeypatch.setenv("SERVICECTX_HOME", str(made(place / PRINTABLE / NOT_ASCII)))
    with managed("smtp") as smtp:
        script = f'{env_formats.posix(smtp.env())}\nprintf %s "$MAILDIR"'
        result = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True)
        assert os.fsdecode(result.stdout) == smtp.maildir
        assert os.path.isdir(smtp.maildir or "")
