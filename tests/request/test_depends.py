"""`depends`: the files that a set-up reads are a part of its identity, by their content."""

import functools
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from servicectx import ConfigError, InvalidOption, managed
from servicectx.request.depends import Depends, depends_of
from servicectx.testing import FakeDetails, FakeService


def seed(fake: FakeDetails) -> None:
    fake.ask("SET a 1")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    for name in (
        *("pyproject.toml", "migrations/0001.sql", "migrations/0002.py", "migrations/deep/er/0003.sql"),
        *("migrations/.hidden", "migrations/__pycache__/0002.pyc", "shop/migrations/0001.py", "shop/models.py"),
        *(".venv/shop/migrations/x.py", "venv/pyvenv.cfg", "venv/shop/migrations/x.py", "node_modules/a/migrations/x"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name if name != "pyproject.toml" else "")
    monkeypatch.chdir(root)
    return root


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("migrations", "migrations/0001.sql migrations/0002.py migrations/deep/er/0003.sql"),
        ("migrations/", "migrations/0001.sql migrations/0002.py migrations/deep/er/0003.sql"),
        ("migrations/**", "migrations/0001.sql migrations/0002.py migrations/deep/er/0003.sql"),
        ("migrations/*.sql", "migrations/0001.sql"),
        ("migrations/**/*.sql", "migrations/0001.sql migrations/deep/er/0003.sql"),
        ("migrations/*", "migrations/0001.sql migrations/0002.py migrations/deep/er/0003.sql"),
        ("migrations/000[12].*", "migrations/0001.sql migrations/0002.py"),
        ("migrations/.hidden", "migrations/.hidden"),
        ("migrations/.*", "migrations/.hidden"),
        ("shop/../migrations/*.py", "migrations/0002.py"),
        ("*/*/0001.py", "shop/migrations/0001.py"),
        (
            "**/migrations",
            "migrations/0001.sql migrations/0002.py migrations/deep/er/0003.sql shop/migrations/0001.py",
        ),
        ("venv/shop/**", "venv/shop/migrations/x.py"),
        (["shop/models.py", Path("migrations") / "0001.sql"], "shop/models.py migrations/0001.sql"),
    ],
)
def test_patterns_find_files_of_the_project(pattern: Any, names: str, project: Path) -> None:
    assert set(depends_of("fake", pattern)._files().values()) == set(names.split())


def test_the_digest_follows_names_and_contents(project: Path) -> None:
    depends = depends_of("fake", "migrations")
    digests = [depends.digest()]
    (project / "migrations" / "0001.sql").write_text("another")
    digests.append(depends.digest())
    (project / "migrations" / "0004.sql").touch()
    digests.append(depends.digest())
    (project / "migrations" / "0004.sql").rename(project / "migrations" / "0005.sql")
    digests.append(depends.digest())
    assert len(set(digests)) == 4
    (project / "migrations" / "__pycache__" / "0002.pyc").write_text("compiled anew")
    (project / "migrations" / "0001.sql").touch()
    assert depends.digest() == digests[-1]
    moved = project.rename(project.with_name("renamed"))
    assert depends_of("fake", "migrations", moved).digest() == digests[-1]
    assert depends_of("fake", [str(moved / "migrations")], moved).digest() == digests[-1]


def test_files_elsewhere_have_names_without_their_place(project: Path, tmp_path: Path) -> None:
    digests = set()
    for place in ("one/site-packages", "two/other/site-packages"):
        (tmp_path / place / "migrations").mkdir(parents=True)
        (tmp_path / place / "migrations" / "0001.py").touch()
        digests.add(depends_of("fake", tmp_path / place / "migrations").digest())
    assert len(digests) == 1


def test_files_elsewhere_with_equal_names_all_count(project: Path, tmp_path: Path) -> None:
    files = [tmp_path / app / "migrations" / "0001_initial.py" for app in ("orders", "users")]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text(str(file))
    patterns = ["../orders/migrations/**", "../users/migrations/**", "../users/migrations/0001_initial.py"]
    depends = depends_of("fake", patterns)
    digests = [depends.digest()]
    assert depends_of("fake", patterns[::-1]).digest() == digests[0]
    for file in files:
        file.write_text("another")
        digests.append(depends.digest())
    files[0].unlink()
    digests.append(depends_of("fake", "../*/migrations/**").digest())
    assert len(set(digests)) == 4


def test_only_regular_files_count(project: Path) -> None:
    """A FIFO without a writer, a device without an end, and a socket, which cannot be opened."""
    digest = depends_of("fake", "migrations").digest()
    os.mkfifo(project / "migrations" / "fifo")
    (project / "migrations" / "zero").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("migrations/socket")
        assert depends_of("fake", "migrations").digest() == digest
        for pattern in ("migrations/fifo", "migrations/zero", "migrations/socket", "/dev/zero", "migrations/s*"):
            with pytest.raises(InvalidOption, match=r"no file matches .*\n.*; sockets, FIFOs and devices are left out"):
                depends_of("fake", pattern).check()


def test_a_file_that_a_fifo_replaces_is_not_waited_for(project: Path) -> None:
    depends = depends_of("fake", "migrations")
    os.mkfifo(project / "migrations" / "fifo")
    assert depends._content("migrations/fifo") == ""
    with pytest.raises(InvalidOption, match="migrations/missing cannot be read: No such file"):
        depends._content("migrations/missing")


@pytest.mark.parametrize("pattern", ["shop", "shop/**", "shop/*", "shop/**/*.sql", "**/linked/**/*.sql", "s*/l*/more"])
def test_files_behind_a_linked_directory_count(pattern: str, project: Path, tmp_path: Path) -> None:
    (tmp_path / "shared" / "more").mkdir(parents=True)
    (tmp_path / "shared" / "more" / "0009.sql").touch()
    (project / "shop" / "linked").symlink_to("../../shared")
    depends = depends_of("fake", pattern)
    before = depends.digest()
    assert "shop/linked/more/0009.sql" in depends._files().values()
    (tmp_path / "shared" / "more" / "0009.sql").write_text("another")
    assert depends.digest() != before


def test_links_in_a_circle_come_to_an_end(project: Path) -> None:
    (project / "linked").symlink_to("migrations")
    for number in range(12):  # searched along each path, these would be 12! directories
        (project / "migrations" / "deep" / f"circle{number}").symlink_to("..")
        (project / "migrations" / f"circle{number}").symlink_to("deep")
    assert len(depends_of("fake", "linked")._files()) == 3
    assert len(depends_of("fake", "migrations/**")._files()) == 3
    found = sorted(map(os.path.realpath, depends_of("fake", "**/*.sql")._files()))
    assert found == [str(project / "migrations" / name) for name in ("0001.sql", "deep/er/0003.sql")]


def test_a_link_does_not_hide_the_directory_from_a_pattern(project: Path) -> None:
    (project / "a").symlink_to("shop/migrations")
    (project / "shop" / "versions").symlink_to("migrations")
    assert [*depends_of("fake", "*/migrations/*.py")._files().values()] == ["shop/migrations/0001.py"]
    assert [*depends_of("fake", "**/versions/*.py")._files().values()] == ["shop/versions/0001.py"]


@pytest.mark.parametrize(
    ("pattern", "searched"),
    [
        ("migrations/*.xml", "{root}/migrations\n"),
        ("alembic/versions", "{root}/alembic, which does not exist\n"),
        ("alembic/versions/*", "{root}/alembic, which does not exist\n"),
        ("nothing.sql", "{root}\n"),
        ("/no/such/place/*", "/no/such, which does not exist\n"),
    ],
)
def test_a_pattern_without_a_match_is_an_error(pattern: str, searched: str, project: Path) -> None:
    with pytest.raises(InvalidOption) as caught:
        managed(FakeService, setup=seed, depends=["shop/models.py", pattern])
    assert caught.value.option == "depends"
    assert caught.value.problem.startswith(f"no file matches {pattern!r}; searched: {searched.format(root=project)}")
    assert f"relative to the project, {project}" in caught.value.problem


@pytest.mark.parametrize("value", [1, b"x", "", [""], [None], {"a": 1}, {"a"}, [["a"]], True])
def test_other_types_are_refused(value: Any, project: Path) -> None:
    with pytest.raises(InvalidOption, match=r"is not a pattern of files; give a pattern or a list of patterns"):
        managed(FakeService, setup=seed, depends=value)


def test_an_unreadable_file_is_an_error(project: Path) -> None:
    (project / "migrations" / "dangling.sql").symlink_to("nowhere")
    with pytest.raises(InvalidOption, match=r"dangling\.sql cannot be read: No such file"):
        managed(FakeService, setup=seed, depends="migrations").__enter__()


def test_it_needs_a_set_up(project: Path) -> None:
    with pytest.raises(InvalidOption, match="no set-up is given; give setup= too"):
        managed(FakeService, depends="migrations")


def test_a_changed_file_leads_to_another_instance(project: Path) -> None:
    lease = managed(FakeService, setup=seed, depends="migrations")
    with lease as first, managed(FakeService, setup=seed, depends=["migrations"]) as same:
        assert first == same
        (project / "migrations" / "0001.sql").write_text("another")
        with managed(FakeService, setup=seed, depends="migrations") as other:
            assert other.port != first.port
    with lease as again:  # an object looks at the files each time that it is entered
        assert again.setup != first.setup


def test_a_function_may_name_its_files_itself(project: Path) -> None:
    def own(fake: FakeDetails) -> None: ...

    own.depends = ["migrations/*.sql"]  # type: ignore[attr-defined]
    for setup in (own, functools.partial(own), [own, seed]):
        lease = managed(FakeService, setup=setup)
        keys = {lease.key}
        (project / "migrations" / "0001.sql").write_text(os.urandom(8).hex())
        keys.add(lease.key)
        assert len(keys) == 2
    own.depends = 3  # type: ignore[attr-defined]
    with pytest.raises(InvalidOption, match=r"the attribute `depends` of .*own.*: 3 is not a pattern"):
        managed(FakeService, setup=own)
    own.depends = "*.xml"  # type: ignore[attr-defined]
    with pytest.raises(InvalidOption, match=r"no file matches '\*\.xml'"):
        managed(FakeService, setup=own)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "elsewhere"


def test_patterns_begin_in_the_project_of_the_scope(project: Path, elsewhere: Path) -> None:
    lease = managed(FakeService, setup=seed, depends="migrations", scope=f"project:{project}/shop")
    key = lease.key
    (project / "migrations" / "0001.sql").write_text("another")
    assert lease.key != key
    with pytest.raises(InvalidOption, match=f"searched: {elsewhere}"):
        managed(FakeService, setup=seed, depends="migrations")


def test_it_may_be_in_the_configuration(project: Path) -> None:
    def write(value: str) -> None:
        (project / "pyproject.toml").write_text(
            f'[tool.servicectx]\norders = {{service = "postgres", setup = "migrations/0001.sql", depends = {value}}}\n'
        )

    write('["shop/**", "migrations"]')
    assert managed("orders")._request.depends == Depends("postgres", project, ("shop/**", "migrations"))
    assert managed("orders", depends="shop")._request.depends == Depends("postgres", project, ("shop",))
    write('"shop/**"')
    assert managed("orders")._request.depends == Depends("postgres", project, ("shop/**",))
    write("[1]")
    with pytest.raises(ConfigError, match=r"orders.depends.*\[1\] is not a list of patterns"):
        managed("orders")
    write('["*.xml"]')
    with pytest.raises(ConfigError, match=r"orders.depends: no file matches '\*.xml'"):
        managed("orders")
    (project / "pyproject.toml").write_text('[tool.servicectx]\norders = {service = "postgres", depends = "shop"}\n')
    assert managed("orders")._request.depends is None  # for set-ups that the code gives
    assert managed("orders", setup="migrations/0001.sql")._request.depends is not None
    (project / "pyproject.toml").write_text("")
    (project / "setup.cfg").write_text(
        "[servicectx]\norders =\n  service = postgres\n  setup = migrations/0001.sql\n"
        "  depends = shop, migrations/*.py\n"
    )
    assert managed("orders")._request.depends == Depends("postgres", project, ("shop", "migrations/*.py"))
