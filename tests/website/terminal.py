"""Record a terminal for the documentation: real commands in a real terminal, drawn as SVG.

    python -m tests.website.terminal     writes docs/assets/terminal.svg

The commands run in a project of their own with 200 tests. Times in the picture are those of the recording.
"""

import io
import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs/assets/terminal.svg"
WIDTH = 72  # columns
COMMANDS = ("servicectx run postgres redis -- pytest -n 4", "servicectx status")
FILES = {
    "pytest.ini": "[pytest]\naddopts = -q -p no:asyncio\n",
    "test_shop.py": """import os

import psycopg
import pytest
import redis


@pytest.mark.parametrize("number", range(200))
def test_order(number):
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        assert connection.execute("select %s::int", [number]).fetchone() == (number,)
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        assert client.incr("orders")
""",
}

# Dark in light pages, too. 4.5:1 is the least contrast of text.
THEME = TerminalTheme(
    (24, 28, 36),
    (222, 226, 230),
    [
        *((24, 28, 36), (255, 123, 114), (86, 211, 100), (227, 179, 65)),
        *((121, 192, 255), (210, 168, 255), (86, 212, 221), (222, 226, 230)),
    ],
)
# Without the web fonts of the template: a picture in a page cannot load them.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*(?=@font-face|\.)", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace(
    "Fira Code, monospace", "ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace"
)


class Screen:
    """The lines of a terminal, with colours. It knows the controls that rich and pytest write."""

    def __init__(self) -> None:
        self.lines = [""]
        self.row = 0
        self.fresh = True  # the next text replaces the line

    def feed(self, output: str) -> None:
        for part in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|\r+\n|\n|\r)", output):
            if part.endswith("\n"):
                self.row, self.fresh = self.row + 1, True
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif part == "\r":
                self.fresh = True
            elif found := re.fullmatch(r"\x1b\[(\d*)A", part):
                self.row, self.fresh = self.row - int(found[1] or 1), True
            elif part == "\x1b[2K":
                self.lines[self.row] = ""
            elif part and (part.endswith("m") or not part.startswith("\x1b[")):
                self.lines[self.row] = part if self.fresh else self.lines[self.row] + part
                self.fresh = False


def record(command: str, folder: Path) -> str:
    """What a command writes on a terminal. Raises CalledProcessError if it fails."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {name: text for name, text in os.environ.items() if not name.startswith("SERVICECTX_")}
        os.execvpe(
            "bash",
            ["bash", "-c", f"stty cols {WIDTH} rows 40; {command}"],
            environment | {"PATH": path, "TERM": "xterm-256color", "PYTHONDONTWRITEBYTECODE": "1"},
        )
    output = b""
    while True:
        try:
            output += (read := os.read(terminal, 65536))
        except OSError:  # the end of a terminal, on Linux
            break
        if not read:
            break
    os.close(terminal)
    if status := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise subprocess.CalledProcessError(status, command, output.decode())
    return output.decode()


def draw(recorded: list[tuple[str, str]]) -> str:
    """The picture of commands and their output."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), legacy_windows=False)
    for command, output in recorded:
        screen = Screen()
        screen.feed(output)
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        console.print(Text.from_ansi("\n".join(screen.lines).strip("\n")), end="\n\n")
    picture = console.export_svg(title="", theme=THEME, code_format=FORMAT, unique_id="terminal")
    label = f'role="img" aria-label="A terminal: {COMMANDS[0]}" class="rich-terminal"'
    picture = picture.replace('class="rich-terminal"', label, 1)
    return re.sub(r"[ \t]+$", "", picture, flags=re.MULTILINE).rstrip() + "\n"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="servicectx-terminal-") as folder:
        for name, text in FILES.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        record(COMMANDS[0], Path(folder))  # the first start prepares data
        recorded = [(command, record(command, Path(folder))) for command in COMMANDS]
    PICTURE.write_text(draw(recorded), encoding="utf-8")
    print(f"wrote {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
