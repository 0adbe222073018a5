"""Help for a set-up that failed at CREATE EXTENSION, or at an extension whose library was not loaded."""

import re
from typing import TYPE_CHECKING

from servicectx.services import version_choice
from servicectx.services.postgres import extensions, install_hints

if TYPE_CHECKING:
    from servicectx.services.postgres.details import PostgresDetails

ABSENT = (r'extension "([^"]+)" is not available', r'could not open extension control file ".*?([^/"]+)\.control"')
NOT_LOADED = (
    r'"?([\w-]+)"? must be (?:pre)?loaded',
    r'([\w-]+) can only be loaded via "?shared_preload_libraries',
)


def explain(service: version_choice.Chooser, problem: str, details: "PostgresDetails") -> str:
    """Lines about the extension that the server does not have or has not loaded; "" for any other problem."""
    if name := _first(NOT_LOADED, problem):
        if details.external:
            return f"load it on the server: shared_preload_libraries = '{name}'"
        return f'managed("postgres", extensions=["{name}"]) loads its library at the start'
    name = _first(ABSENT, problem)
    if name is None:
        return ""
    lines = [f"the server has no extension {name!r}: {_called(details)}"]
    if name in extensions.OTHER_NAMES:
        return "\n".join([*lines, f"did you mean {extensions.OTHER_NAMES[name]!r}?"])
    if details.external:
        major = (details.version or "").partition(".")[0]
        wanted = version_choice.VersionRange.parse(major) if major.isdigit() else None
        return "\n".join([*lines, f"install it on the server: {install_hints.cures([name], wanted)['apt']}"])
    having = []
    lines.append("servers found here:")
    for server in version_choice.servers(service):
        if server.refusal is None:
            lacking = extensions.missing(server.path, [name])
            having += [] if lacking else [server]
            lines.append(f"  {server.version} ({server.path}): {'lacks it' if lacking else 'has it'}")
    if having:
        lines.append(f'managed("postgres", extensions=["{name}"]) takes a server that has it, and creates it')
    else:
        lines.append("install it with one of:")
        lines += [f"  {tool + ':':7}{cure}" for tool, cure in install_hints.cures([name], None).items()]
    return "\n".join(lines)


def _first(patterns: tuple[str, ...], text: str) -> str | None:
    return next((found[1] for pattern in patterns if (found := re.search(pattern, text))), None)


def _called(details: "PostgresDetails") -> str:
    version = f"Postgres {details.version or 'of unknown version'}"
    return f"{version} ({details.program})" if details.program else version
