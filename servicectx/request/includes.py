"""A set-up file's content, with that of the files that it takes in: `\\i`, `\\ir`, `\\copy ... from`, `source`."""

import hashlib
import os
import re
from pathlib import Path

NAME = rb"('(?:[^'\n]|'')*'|\"[^\"\n]*\"|[^\s\\]+)"
INCLUDES = (
    re.compile(rb"\\(?P<how>include_relative|include|ir|i)[ \t]+" + NAME),
    re.compile(rb"\\(?P<how>copy)\b[^\n]*?\bfrom[ \t]+" + NAME, re.IGNORECASE),
    re.compile(rb"^[ \t]*(?P<how>source|\\\.)[ \t]+" + NAME, re.IGNORECASE | re.MULTILINE),
)


def digest(file: Path) -> str:
    """A name in it that holds a variable, or belongs to no file, counts as the text that it is.

    Raises OSError when `file` itself cannot be read.
    """
    found: dict[Path, str] = {}
    _read(file, found)
    digests = list(found.values())
    return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()


def _read(file: Path, found: dict[Path, str]) -> None:
    content = file.read_bytes()
    found[file] = hashlib.sha256(content).hexdigest()
    for pattern in INCLUDES:
        for match in pattern.finditer(content):
            how, said = match["how"].lower(), match[2]
            name = said[1:-1].replace(b"''", b"'") if said[:1] in (b"'", b'"') else said.rstrip(b";")
            if b"\0" not in name and len(name) < 1000:
                near = file.parent if how in (b"ir", b"include_relative") else Path.cwd()
                included = near / os.path.expanduser(os.fsdecode(name))
                if included not in found and included.is_file():
                    _read(included, found)
