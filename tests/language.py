"""The language of comments, docstrings, error texts and pages: how many words name a person instead of a noun.

python -m tests.language [PATH ...]      prints each sentence that uses one, and the share of each group
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
LIMIT = 3.0  # in 1,000 words

WORDS = {
    *("who", "whom", "whose", "whoever", "somebody", "nobody", "anybody", "everybody", "someone", "anyone", "everyone"),
    *("those", "say", "says", "said", "saying", "tell", "tells", "told", "telling", "hear", "hears", "heard"),
    *("speak", "speaks", "spoke", "spoken", "ask", "asks", "asked", "asking", "want", "wants", "wanted"),
    *("know", "knows", "knew", "goes", "went", "wish", "wishes"),
}
GROUPS = {
    "product": ("servicectx", "integrations"),
    "tests": ("tests", "benchmarks", "examples"),
    "docs": ("docs",),
    "README.md": ("README.md",),
    "CHANGELOG.md": ("CHANGELOG.md",),
    "CONTRIBUTING.md": ("CONTRIBUTING.md",),
    "SECURITY.md": ("SECURITY.md",),
    "RELEASING.md": ("RELEASING.md",),
    "scripts": ("Makefile", "action.yml", ".ci", ".github", "ruff.toml", "setup.cfg", ".pre-commit-config.yaml"),
}

_WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?")
_PROGRAM = re.compile(r"[;=]$|^\s*(import|from|def|class|with|for) .*\w[:\w]$|\bSELECT\b", re.MULTILINE)
_CODE = re.compile(r"```.*?```|`[^`]*`|\{[^{}]*\}", re.DOTALL)


class Sentence(NamedTuple):
    path: Path
    line: int
    text: str

    def words(self) -> list[str]:
        return [word.lower() for word in _WORD.findall(_CODE.sub(" ", self.text))]

    def people(self) -> list[str]:
        return [word for word in self.words() if word in WORDS]


def sentences(path: Path) -> Iterator[Sentence]:
    """The prose of a page, of a module, or of the comments in a script."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        text = _CODE.sub(lambda match: "\n" * match[0].count("\n"), text)
        yield from (Sentence(path, number, line) for number, line in enumerate(text.splitlines(), 1))
        return
    if path.suffix != ".py":
        lines = enumerate(text.splitlines(), 1)
        yield from (Sentence(path, number, line.partition("#")[2]) for number, line in lines if "#" in line)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield Sentence(path, token.start[0], token.string)
    for node in ast.walk(ast.parse(text)):
        # A text of three words or more is for a reader: a docstring, an error, help. SQL and programs are not.
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_prose(node.value):
            for number, line in enumerate(node.value.splitlines()):
                yield Sentence(path, node.lineno + number, line)


def _is_text(path: Path) -> bool:
    return path.is_file() and (path.suffix in (".py", ".md") or path.parts[len(ROOT.parts)] in (".ci", ".github"))


def _is_prose(text: str) -> bool:
    return len(text.split()) > 2 and not _PROGRAM.search(text)


def files(names: tuple[str, ...]) -> list[Path]:
    found: list[Path] = []
    for name in names:
        path = ROOT / name
        found += [path] if path.is_file() else [each for each in sorted(path.rglob("*")) if _is_text(each)]
    return found


def share(prose: list[Sentence]) -> float:
    """People words in 1,000."""
    count = sum(len(sentence.words()) for sentence in prose)
    return 1000 * sum(len(sentence.people()) for sentence in prose) / max(1, count)


def main() -> None:
    groups = {name: (name,) for name in sys.argv[1:]} or GROUPS
    for name, places in groups.items():
        prose = [sentence for path in files(places) for sentence in sentences(path)]
        for sentence in prose:
            if people := sentence.people():
                where = f"{sentence.path.relative_to(ROOT)}:{sentence.line}"
                print(f"{where}: {', '.join(people)}: {sentence.text.strip()[:110]}")
        print(f"{name}: {share(prose):.1f} in 1,000\n")


if __name__ == "__main__":
    main()
