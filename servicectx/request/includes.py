"""The content of a set-up file and of the files that it includes: `\\i`, `\\ir`, `\\copy ... from`, `source`."""

import hashlib
import os
import re
from pathlib import Path

NAME = rb"('(?:[^'\n]|'')*'|\"[^\"\n]*\"|[^\s\\]+)"
INCLUDES = (
    re.compile(rb"\\(?P<command>include_relative|include|ir|i)[ \t]+" + NAME),
    re.compile(rb"\\(?P<command>copy)\b[^\n]*?\bfrom[ \t]+" + NAME, re.IGNORECASE),
    re.compile(rb"^[ \t]*(?P<command>source|\\\.)[ \t]+" + NAME, re.IGNORECASE | re.MULTILINE),
)


def digest(file: Path) -> str:
    """The hash of a file and its includes. The name of an include without a file counts only as text.

    Such a name may contain a variable. Raises OSError when `file` itself cannot be read.
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
            command, raw = match["command"].lower(), match[2]
            name = raw[1:-1].replace(b"''", b"'") if raw[:1] in (b"'", b'"') else raw.rstrip(b";")
            if b"\0" not in name and len(name) < 1000:
                base = file.parent if command in (b"ir", b"include_relative") else Path.cwd()
                included = base / os.path.expanduser(os.fsdecode(name))
                if included not in found and included.is_file():
                    _read(included, found)
