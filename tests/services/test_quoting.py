"""The functions of `quoting`, tested with a real parser of each format, and their use in plans."""

import glob
import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

from servicectx.services import plan, quoting, registry
from tests.services import accounts, table

PRINTABLE = "".join(map(chr, range(32, 127)))
QUOTES = ["\\", "a\\", "'", '"', "\\'\"", "\\n\\x41"]
TEXTS = [PRINTABLE, PRINTABLE[::-1], *QUOTES, " blank ", "größe 数据 😀", "{dir}", "#;"]
CONTROLS = ["line\nbreak\ttab", "\x01\x7f\r"]


def read_shell(text: str) -> str:
    script = f"printf %s '{quoting.in_shell(text)}'"
    return subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True).stdout.decode()


def read_properties(text: str) -> str:
    """Parse as java.util.Properties.load: leading white space is dropped, a backslash escapes a letter or \\uXXXX."""
    line = f"key={quoting.in_properties(text)}"
    assert line.isascii()
    assert "\n" not in line
    value = line.partition("=")[2].lstrip(" \t\f")
    units = re.sub(r"\\(?:u([0-9a-f]{4})|(.))", lambda found: chr(int(found[1], 16)) if found[1] else found[2], value)
    return units.encode("utf-16", "surrogatepass").decode("utf-16")


READERS: dict[str, Callable[[str], str]] = {
    "json": lambda text: json.loads(f'"{quoting.in_json(text)}"'),
    "toml": lambda text: tomllib.loads(f'key = "{quoting.in_json(text)}"')["key"],
    "shell": read_shell,
    "properties": read_properties,
    "url": lambda text: unquote(quoting.in_url(text)),
}


@pytest.mark.parametrize("text", TEXTS + CONTROLS)
@pytest.mark.parametrize("form", READERS)
def test_what_is_quoted_is_read_as_it_was(form: str, text: str) -> None:
    assert READERS[form](text) == text


@pytest.mark.parametrize("text", TEXTS + CONTROLS)
def test_yaml_reads_it_as_it_was(text: str) -> None:
    assert yaml.safe_load(f'key: "{quoting.in_json(text)}"') == {"key": text}


@pytest.mark.parametrize("text", TEXTS + CONTROLS)
def test_a_regular_expression_and_a_glob_pattern_match_that_text_alone(text: str, tmp_path: Path) -> None:
    assert re.fullmatch(quoting.in_regex(text), text)
    name = text.replace("/", "")
    for made in (name, f"x{name}", name.swapcase()):
        (tmp_path / made).touch()
    assert glob.glob(f"{tmp_path}/{quoting.in_glob(name)}") == [str(tmp_path / name)]


@pytest.mark.parametrize("text", [*TEXTS, "line\nbreak\ttab"])
def test_mariadb_s_own_reader_of_its_files_reads_it_as_it_was(text: str, tmp_path: Path) -> None:
    reader = shutil.which("my_print_defaults")
    if reader is None:
        table.require("mariadb")
        pytest.skip("my_print_defaults is not installed here")
    (tmp_path / "my.cnf").write_text(f'[part]\nkey = "{quoting.in_mycnf(text)}"\nother = 1\n')
    command = [reader, f"--defaults-file={tmp_path}/my.cnf", "part"]
    output = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    assert output == f"--key={text}\n--other=1\n"


# -- placeholders --------------------------------------------------------------------------------------------------


def facts(place: str) -> dict[str, str]:
    return {"dir": place, "data": f"{place}/data"}


def test_a_placeholder_is_escaped_for_the_format_that_it_names() -> None:
    place = '/a "b"/c\\d'
    assert plan.render('dir "{data|redis}"', facts(place)) == 'dir "/a \\"b\\"/c\\\\d/data"'
    assert json.loads(plan.render('["{dir|json}"]', facts(place))) == [place]
    assert plan.render("{dir|nonsense}", facts(place)) == "{dir|nonsense}"
    assert plan.render("{dir}", facts(place)) == place


def test_paths_of_a_server_that_runs_in_its_directory() -> None:
    assert plan.render("{data|relative} {dir|relative}", facts("/a b")) == "data ."
    assert plan.render("{data|cwd} {dir|cwd}", facts("/a b")) == "/proc/self/cwd/data /proc/self/cwd"


@pytest.mark.parametrize("form", quoting.FORMATS)
def test_text_around_a_placeholder_is_quoted_with_it(form: str) -> None:
    place = PRINTABLE.replace("/", "")
    made = plan.render(plan.quoted("{dir}'\"\\", form), {"dir": place})
    assert made == quoting.FORMATS[form](place) + quoting.FORMATS[form]("'\"\\")


@pytest.mark.parametrize("text", ["{dir}", "{{port}}", "{port_x} {data|json}", "{a} {", "{brace}", "{brace}dir}"])
def test_a_literal_text_stays_as_it_is(text: str) -> None:
    assert plan.render(plan.literal(text), {"dir": "/d", "port": 1, "port_x": 2, "data": "/d/data"}) == text


@pytest.mark.parametrize("name", sorted(registry.BUILT_IN))
def test_no_file_of_a_built_in_plan_holds_a_path_that_is_not_escaped(name: str) -> None:
    """Refused characters need no escapes. Values other than texts are written as JSON."""
    made = accounts.plan_of(registry.find(name))
    files = {**made.files, **(made.template.files if made.template else {})}
    for file, text in files.items():
        if isinstance(text, str) and not made.paths.refused:
            assert not re.search(r"\{(dir|data)\}", text), (file, text)


def test_a_path_that_a_server_cannot_take_is_named_with_its_character() -> None:
    refusing = plan.Plan("x", [], {}, {}, paths=plan.PathLimits("[ \udc80-\udcff\n]", 100))
    assert plan.path_problem(refusing, Path("/a/b")) is None
    for path, named in (("/a b", "no blank"), ("/a\nb", "no line break"), (os.fsdecode(b"/\xe9"), "byte 0xe9")):
        problem = plan.path_problem(refusing, Path(path))
        assert problem
        assert named in problem
    problem = plan.path_problem(refusing, Path("/" + "ä" * 50))
    assert problem
    assert "101 bytes" in problem
    assert "no more than 100" in problem
