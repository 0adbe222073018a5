"""Escape a text for its target format: one function for each format.

Each function returns the inside of a quoted text. The quotes are in the surrounding text, as in `dir "{data|redis}"`.
`relative` and `cwd` are not formats: see `plan`. Bytes that are not UTF-8 are lone surrogates here, as in all paths.
"""

import re
from collections.abc import Callable
from urllib.parse import quote

from servicectx.system.originals import json

_CONTROL = re.compile(r"[\0-\x1f\x7f]")


def in_redis(text: str) -> str:
    """Escape for double quotes in redis.conf."""
    text = re.sub(r'(["\\])', r"\\\1", text)
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def in_postgres(text: str) -> str:
    """Escape for single quotes in postgresql.conf."""
    text = text.replace("\\", "\\\\").replace("'", "''")
    return _CONTROL.sub(lambda found: f"\\{ord(found[0]):03o}", text)


def in_json(text: str) -> str:
    """Escape for double quotes in JSON, YAML and TOML: only with escapes that all three share."""
    inside = json.dumps(text, ensure_ascii=False)[1:-1]
    return re.sub("[\x7f-\x9f\u2028\u2029\ufeff]", lambda found: f"\\u{ord(found[0]):04x}", inside)


def in_nats(text: str) -> str:
    """Escape for double quotes in the configuration of NATS, which has fewer escapes than JSON."""
    text = re.sub(r'(["\\])', r"\\\1", text)
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def in_properties(text: str) -> str:
    """Escape for a value in Java properties, which are read as ISO 8859-1."""

    def escaped(found: re.Match[str]) -> str:
        units = found[0].encode("utf-16-be", "surrogatepass")
        return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))

    text = text.replace("\\", "\\\\")
    text = re.sub(r"[^\x20-\x7e]", escaped, text)
    return re.sub(r"^ ", r"\\ ", text)


def in_shell(text: str) -> str:
    """Escape for single quotes in a shell command."""
    return text.replace("'", "'\\''")


def in_mycnf(text: str) -> str:
    """Escape for double quotes in my.cnf."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b"}
    return "".join(escapes.get(letter, letter) for letter in text)


def in_url(text: str) -> str:
    """Escape for any part of a URL; slashes stay."""
    return quote(text, errors="surrogateescape")


def in_regex(text: str) -> str:
    """Escape for a regular expression that matches the literal text."""
    return re.escape(text)


def in_glob(text: str) -> str:
    """Escape for a glob pattern that matches the literal text."""
    return re.sub(r"([*?[])", r"[\1]", text)


FORMATS: dict[str, Callable[[str], str]] = {
    "redis": in_redis,
    "postgres": in_postgres,
    "json": in_json,
    "yaml": in_json,
    "toml": in_json,
    "nats": in_nats,
    "properties": in_properties,
    "shell": in_shell,
    "mycnf": in_mycnf,
    "url": in_url,
    "regex": in_regex,
    "glob": in_glob,
}
