"""The build of a server: what its program is, wherever and whenever it was installed. Names in the cache begin with it.

Equal builds read each other's data. Two virtual environments with the same wheel have the same build. The bytes of a
program decide that only if they are the server: a script, an interpreter, a launcher and a shim run other files.
"""

import functools
import os
import re
from typing import Any

from servicectx.datadirs import digests
from servicectx.request.key import working_directory
from servicectx.services.base import Service
from servicectx.system.originals import open

# The first bytes of native programs: ELF, and Mach-O for one or several architectures.
NATIVE = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xcf", b"\xca\xfe\xba\xbe")
# These run a program in other files, so their own bytes do not decide what runs.
INTERPRETERS = re.compile(
    r"(python|pypy|perl|ruby|php|lua)[\d.]*|java|node|nodejs|deno|bun|erl|beam\.smp|dotnet|busybox|bash|dash|sh"
)


# Programs of package managers that run another program, which they choose by the name of a link to them.
MANAGERS = re.compile(r"snap|flatpak|mise|rtx|asdf|aqua|aqua-proxy|proto|proto-shim|volta|volta-shim|toybox|coreutils")
# Directories of programs that run another program: asdf, mise, pyenv, rbenv, nodenv, goenv and proto have `shims`.
SHIMS = re.compile(r"(.*/)?shims|(/var/lib/snapd)?/snap/bin|.*/\.volta/bin")
SMALLEST = 1 << 16  # bytes: a smaller native program is a launcher, such as a wrapper that sets variables


def build_of(service: Service[Any], program: str) -> str:
    """The identity of a service's server, for templates. Raises OSError.

    A project's own service is bound to the path of its program: another project may have another service of that name.
    A shim stays the same file when its manager upgrades the server, so the version that it prints is added.
    """
    text = build(program, by_path=type(service).__module__.partition(".")[0] != "servicectx")
    return f"{text} version {_shim_version(service, program)}" if is_shim(program) else text


def data_build_of(service: Service[Any], program: str) -> str:
    """The same for snapshots, whose data may also depend on files beside the program. Raises OSError."""
    files = sorted(service.data_files(program))
    beside = f" with {digests.digest_of_all(f'beside {program}', files)}" if files else ""
    return f"{build_of(service, program)}{beside}"


def build(program: str, by_path: bool = False) -> str:
    """The digest of a program, and the machine's architecture and C library. Raises OSError.

    A program that runs other files is bound to its path, its size and its time; so is every program with `by_path`.
    """
    text = _bound(program) if by_path or not is_native(program) else digests.digest_of(program)
    return f"{text} on {machine()}"


def is_native(program: str) -> bool:
    """Whether the bytes of a program decide what runs.

    Not for a script, an interpreter, a launcher, a shim, or an unreadable file.
    """
    if INTERPRETERS.fullmatch(os.path.basename(os.path.realpath(program))) or is_shim(program):
        return False
    try:
        with open(program, "rb") as file:
            return file.read(4) in NATIVE and os.fstat(file.fileno()).st_size >= SMALLEST
    except OSError:  # it may be executable only
        return False


def is_shim(program: str) -> bool:
    """Whether a package manager chooses at each call what runs, perhaps by the working directory."""
    manager = os.path.basename(os.path.realpath(program))
    return bool(SHIMS.fullmatch(os.path.dirname(program)) or MANAGERS.fullmatch(manager))


def _shim_version(service: Service[Any], program: str) -> str | None:
    """The version that a shim prints in this directory, asked once in this process."""
    key = service.name, program, working_directory()
    if key not in _shim_versions:
        _shim_versions[key] = service.version(program)
    return _shim_versions[key]


_shim_versions: dict[tuple[str, str, str], str | None] = {}


@functools.cache
def machine() -> str:
    """The system, the architecture and the C library, whose sort orders are in the indexes of databases."""
    system = os.uname()
    try:
        library = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):  # another C library
        library = ""
    return f"{system.sysname} {system.machine} {library}".strip()


def _bound(program: str) -> str:
    status = os.stat(program)
    return f"{program} {status.st_mtime_ns} {status.st_size}"
