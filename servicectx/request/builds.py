"""The build of a server: what its program is, wherever and whenever it was installed. Names in the cache begin with it.

Equal builds read each other's data. Two virtual environments with the same wheel have the same build.
"""

import functools
import os
import re
from typing import Any

from servicectx.datadirs import digests
from servicectx.services.base import Service
from servicectx.system.originals import open

# The first bytes of native programs: ELF, and Mach-O for one or several architectures.
NATIVE = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xcf", b"\xca\xfe\xba\xbe")
# These run a program in other files, so their own bytes do not decide what runs.
INTERPRETERS = re.compile(
    r"(python|pypy|perl|ruby|php|lua)[\d.]*|java|node|nodejs|deno|bun|erl|beam\.smp|dotnet|busybox|bash|dash|sh"
)


def build_of(service: Service[Any], program: str) -> str:
    """The identity of a service's server, for templates. Raises OSError.

    A project's own service is bound to the path of its program: another project may have another service of that name.
    """
    return build(program, by_path=type(service).__module__.partition(".")[0] != "servicectx")


def data_build_of(service: Service[Any], program: str) -> str:
    """The same for snapshots, whose data may also depend on files beside the program. Raises OSError."""
    files = sorted(service.data_files(program))
    beside = f" with {digests.digest_of_all(f'beside {program}', files)}" if files else ""
    return f"{build_of(service, program)}{beside}"


def build(program: str, by_path: bool = False) -> str:
    """The digest of a program, and the machine's architecture and C library. Raises OSError.

    A script and an interpreter are bound to their path, their size and their time, because they run other files; so is
    every program with `by_path`.
    """
    text = _bound(program) if by_path or not is_native(program) else digests.digest_of(program)
    return f"{text} on {machine()}"


def is_native(program: str) -> bool:
    """Whether the bytes of a program decide what runs: not for a script, an interpreter, or an unreadable file."""
    if INTERPRETERS.fullmatch(os.path.basename(os.path.realpath(program))):
        return False
    try:
        with open(program, "rb") as file:
            return file.read(4) in NATIVE
    except OSError:  # it may be executable only
        return False


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
