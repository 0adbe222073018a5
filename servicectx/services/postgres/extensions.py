"""Extensions of a Postgres installation, read from its files: no server and no `pg_config` runs."""

import difflib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

_CONTRIB = """
    adminpack amcheck autoinc bloom btree_gin btree_gist citext cube dblink dict_int dict_xsyn earthdistance file_fdw
    fuzzystrmatch hstore insert_username intagg intarray isn lo ltree moddatetime old_snapshot pageinspect
    pg_buffercache pg_freespacemap pg_logicalinspect pg_prewarm pg_stat_statements pg_surgery pg_trgm pg_visibility
    pg_walinspect pgcrypto pgrowlocks pgstattuple plpgsql postgres_fdw refint seg sslinfo tablefunc tcn
    tsm_system_rows tsm_system_time unaccent uuid-ossp xml2
"""
CONTRIB = frozenset(_CONTRIB.split())  # extensions of Postgres itself

# Modules that are loaded, and have nothing to create in a database.
MODULES = ("auto_explain", "auth_delay", "passwordcheck", "pg_failover_slots", "pg_overexplain")

# Projects whose extension has another name.
OTHER_NAMES = {"pgvector": "vector", "timescale": "timescaledb", "pgcron": "pg_cron", "uuid_ossp": "uuid-ossp"}

CONTROL_FOLDERS = (
    "share/extension",
    "share/postgresql/extension",
    "share/postgresql@*/extension",
    "share/pgsql/extension",
)
LIBRARY_FOLDERS = ("lib", "lib/postgresql", "lib/postgresql@*", "lib64/pgsql")


def available(program: str) -> list[str]:
    """The names of the extensions and modules that the installation of this server has."""
    return sorted({*_controls(program), *(name for name in MODULES if _has_library(program, name))})


def control_files(program: str) -> list[str]:
    """The readable control files of the extensions of this installation. They have the versions of the extensions."""
    files = [file for folder in _folders(program) for file in folder.glob("*.control")]
    return sorted(str(file) for file in files if os.path.isfile(file) and os.access(file, os.R_OK))


def missing(program: str, wanted: Sequence[str]) -> list[str]:
    """The extensions in `wanted` that the installation of this server does not have."""
    if not wanted:
        return []
    there = set(available(program))
    return [name for name in wanted if name not in there]


def created(wanted: Iterable[str]) -> list[str]:
    """The names for CREATE EXTENSION: all except modules."""
    return [name for name in wanted if name not in MODULES]


def with_required(program: str, wanted: Iterable[str]) -> list[str]:
    """The extensions in `wanted` and all that they require, which are created with them."""
    controls, found, queue = _controls(program), dict[str, None](), list(wanted)
    while queue:
        name = queue.pop(0)
        if name not in found:
            found[name] = None
            queue += _required(controls[name]) if name in controls else []
    return list(found)


def misspelt(wanted: Iterable[str]) -> str | None:
    """The problem of a text that cannot be the name of an extension, or None."""
    for name in wanted:
        if name in OTHER_NAMES:
            return f"{name!r} is not the name of an extension; did you mean {OTHER_NAMES[name]!r}?"
        if not re.fullmatch(r"[A-Za-z0-9_][\w-]*", name) or "--" in name:
            return f"{name!r} is not the name of an extension; such a name is 'vector' or 'uuid-ossp'"
    return None


def lack(program: str, wanted: Sequence[str]) -> str | None:
    """The extensions that a server lacks, in words, with similar names that it has; None where it has them all."""
    names = []
    for name in missing(program, wanted):
        close = difflib.get_close_matches(name, available(program), n=1, cutoff=0.8)
        names.append(f"{name} (it has {close[0]})" if close else name)
    return f"it lacks {', '.join(names)}" if names else None


def _controls(program: str) -> dict[str, Path]:
    """The control files by extension. Files such as NAME--1.0.control belong to one version of an extension."""
    files = (file for folder in _folders(program) for file in folder.glob("*.control"))
    return {file.stem: file for file in files if "--" not in file.stem}


def _folders(program: str) -> list[Path]:
    tree = Path(program).parents[1]
    folders = [folder for pattern in CONTROL_FOLDERS for folder in tree.glob(pattern)]
    if tree.parent.name == "postgresql":  # Debian: /usr/lib/postgresql/15 has its data in /usr/share/postgresql/15
        folders.append(tree.parents[2] / "share/postgresql" / tree.name / "extension")
    return folders


def _has_library(program: str, name: str) -> bool:
    tree = Path(program).parents[1]
    folders = [folder for pattern in LIBRARY_FOLDERS for folder in tree.glob(pattern)]
    return any((folder / f"{name}{suffix}").exists() for folder in folders for suffix in (".so", ".dylib"))


def _required(control: Path) -> list[str]:
    try:
        found = re.search(r"^\s*requires\s*=\s*'([^']*)'", control.read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        return []
    return [name.strip() for name in found[1].split(",") if name.strip()] if found else []
