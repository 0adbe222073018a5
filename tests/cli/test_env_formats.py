"""The formats of `servicectx env`, each read by its reader; files with mode 0600; failures."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import click
import pytest

from servicectx.cli import eval_output, private_file
from servicectx.cli.app import Failed
from servicectx.cli.env_formats import FORMATS, unset
from tests.caller.root import REQUIRED, require_root
from tests.cli.command import COMMAND, cli
from tests.cli.env_readers import OPTIONAL, READERS, missing

VALUES = {
    "PLAIN": "a",
    "QUOTES": 'it\'s "b"',
    "BLANKS": " a  b ",
    "DOLLAR": "$HOME ${HOME} $(id) $$",
    "DOLLAR_AND_QUOTE": "it's $HOME ${HOME}",
    "PERCENT": "%HOME% %d 100%",
    "UNICODE": "ü \u2019 漢 🦆",
    "BACKSLASHES": "\\ \\\\ \\n \\' \\\" \\",
    "BACKSLASH": "a\\",
    "BACKTICK": "a `id` b",
    "COMMENT": "a # b",
    "EQUALS": "a=b==",
    "HEREDOC": "a<<b",
    "SHELL": "a;b&c|d*?[!]{e,f}~",
    "LAST": '"',
}
# Not "LINES", which is an integer in zsh.
LINES = {"SEVERAL_LINES": 'a\nb\'s "c"\n\n  d ', "MARKER": "EOF\nEOF_\n", "FEED": "\n"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").touch()
    return tmp_path


@pytest.mark.parametrize(("form", "reader"), READERS)
def test_the_reader_of_a_format_finds_the_values(form: str, reader: str, tmp_path: Path) -> None:
    """A reader that is missing is listed at the end of the tests; test_the_texts... compares the text for it."""
    if reader in missing():
        assert reader in OPTIONAL or not REQUIRED, f"{reader} is missing; `make system-servers` installs it"
        return
    values = VALUES | ({} if form == "docker" else LINES)
    found = READERS[form, reader](FORMATS[form](values), tmp_path)
    assert {name: found.get(name) for name in values} == values


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        ("fish", 'it\'s $1 \\ "2"\n%', "set -gx X 'it\\'s $1 \\\\ \"2\"\n%'"),
        ("powershell", 'it\'s $1 `n "2"\n%\\', "$env:X = 'it''s $1 `n \"2\"\n%\\'"),
        ("powershell", "\u2018a\u2019\u201a\u201b", "$env:X = '\u2018\u2018a\u2019\u2019\u201a\u201a\u201b\u201b'"),
        ("docker", " 'a' $b # c ", "X= 'a' $b # c "),
        ("github", "a b", "X=a b"),
        ("github", "a\nEOF", "X<<EOF_\na\nEOF\nEOF_"),
        ("dotenv", "$HOME \\d", "X='$HOME \\d'"),
        ("dotenv", "it's", 'X="it\'s"'),
        ("zsh", "it's", "export X='it'\"'\"'s'"),
    ],
)
def test_the_texts_for_readers_that_may_be_missing(form: str, value: str, text: str) -> None:
    assert FORMATS[form]({"X": value}) == text


@pytest.mark.parametrize("value", ["a\nb", "a\r"])
def test_docker_cannot_have_lines(value: str) -> None:
    with pytest.raises(click.UsageError, match=r"the value of X has a line end: .* --format json can"):
        FORMATS["docker"]({"X": value})


def test_variables_are_removed() -> None:
    assert unset(["A"], "sh") == ["unset A"]
    assert unset(["A"], "fish") == ["set -e A"]
    assert unset(["A"], "powershell") == ["Remove-Item -ErrorAction Ignore Env:A"]
    assert [unset(["A"], form) for form in ("dotenv", "docker", "github", "json")] == [[], [], [], []]


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (("env",), "false"),
        (("env", "--format", "docker"), None),
        (("env", "--format", "github"), None),
        (("env", "--format=powershell"), "throw 'servicectx failed'"),
        (("up", "redis", "--format", "powershell"), "throw 'servicectx failed'"),
        (("env", "--output", ".env"), None),
        (("env", "--output=.env"), None),
    ],
)
def test_what_a_failure_prints(arguments: tuple[str, ...], output: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/sh")
    assert eval_output.failure(arguments) == output


def test_output_is_refused_where_another_user_could_redirect_it(tmp_path: Path) -> None:
    require_root("chown")
    mine, link, theirs = tmp_path / "mine", tmp_path / "link", tmp_path / "theirs"
    mine.write_text("mine")
    theirs.write_text("theirs")
    link.symlink_to(mine)
    for path in (link, theirs):
        os.chown(path, 65534, 65534, follow_symlinks=False)
        with pytest.raises(Failed, match="it belongs to another user"):
            private_file.write(str(path), "secret")
    assert (mine.read_text(), theirs.read_text()) == ("mine", "theirs")


def test_output_is_a_file_of_its_owner_alone(project: Path) -> None:
    old = project / "old.env"
    old.write_text("old")
    old.chmod(0o644)
    (project / "link.env").symlink_to("old.env")
    try:
        assert cli("up", "-q", "redis", cwd=project).returncode == 0
        shown = cli("env", "--format", "dotenv", cwd=project).stdout
        for name in ("new.env", "old.env", "link.env"):
            done = cli("env", "--format", "dotenv", "--output", name, cwd=project)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
            assert (project / name).read_text() == shown
            assert stat.S_IMODE((project / name).stat().st_mode) == 0o600
        assert (project / "link.env").is_symlink()
        (project / "directory").mkdir()
        for name, problem in (("none/a", "No such file or directory"), ("directory", "is not a regular file")):
            done = cli("env", "--output", name, cwd=project)
            assert (done.returncode, done.stdout) == (1, "")
            assert problem in done.stderr
        assert not [name for name in os.listdir(project) if name.startswith(".")]
        for mode, hint in ((0o644, "(mode 0644); use --output FILE"), (0o600, "")):
            old.chmod(mode)
            with open(old, "w") as file:
                command = [*COMMAND, "env", "--format", "dotenv"]
                done = subprocess.run(command, cwd=project, stdout=file, stderr=-1, text=True, check=True)
            assert hint in done.stderr
            assert bool(hint) == bool(done.stderr)
    finally:
        cli("down", cwd=project)


def test_the_first_named_instance_supplies_shared_variables(project: Path) -> None:
    show = "import os; print(os.environ['REDIS_URL'] == os.environ['USERS_URL'] != os.environ['ORDERS_URL'])"
    roles = ("users=redis", "orders=redis")
    report = "users comes first and supplies REDIS_URL"
    done = cli("run", *roles, "--", sys.executable, "-c", show, cwd=project)
    assert (done.stdout, report in done.stderr) == ("True\n", True), done.stderr
    try:
        assert cli("up", "-q", *roles, cwd=project).returncode == 0
        for names, first in (
            (("users", "orders"), "USERS_URL"),
            (("orders", "users"), "ORDERS_URL"),
            ((), "ORDERS_URL"),
        ):
            done = cli("env", *names, cwd=project)
            values = dict(line.removeprefix("export ").split("=", 1) for line in done.stdout.splitlines())
            assert values["REDIS_URL"] == values[first]
            assert f"{first[:-4].lower()} comes first and supplies REDIS_URL" in done.stderr
    finally:
        cli("down", cwd=project)
