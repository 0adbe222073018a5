"""Programs that stand in for servers that cannot be had: they take the same arguments, and speak as much of the same
protocol as a service's probe and a few calls of its usual client need. They prove that what servicectx does with such a
server works, as far as its documentation tells the truth; they prove nothing of the server.
"""

import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent


def install(folder: Path, name: str) -> Path:
    """The directory of a program `name` that runs the module of that name here."""
    found = os.pathsep.join(place for place in sys.path if place)
    return _write(folder, name, f'PYTHONPATH={found} exec {sys.executable} -P {HERE / name}.py "$@"')


def unpack(home: Path, name: str, python: Path) -> Path:
    """An unpacked tree, as it comes in an archive, whose `bin/name` the interpreter `python` runs."""
    (home / "config").mkdir(parents=True)
    shutil.copy(HERE / "search.py", home / "config")
    (home / "config/jvm.options").write_text(JVM_OPTIONS)
    libraries = f"LD_LIBRARY_PATH={python.parents[1]}/lib"
    _write(home / "bin", name, f'{libraries} exec {python} -I -S "${{0%/*}}/../config/search.py" "$0"')
    (home / f"bin/{name}-env").write_text(f'if [ -z "$PATH_CONF" ]; then PATH_CONF={name}/config; fi\n')
    return home


JVM_OPTIONS = """## JVM configuration
-Xms4g
-Xmx4g
14-:-XX:+UseG1GC
-Djava.io.tmpdir=${ES_TMPDIR}
-XX:+HeapDumpOnOutOfMemoryError
-XX:HeapDumpPath=data
-XX:ErrorFile=logs/hs_err_pid%p.log
-Xlog:gc*,gc+age=trace,safepoint:file=logs/gc.log:utctime
-Dneeded=true
"""


def _write(folder: Path, name: str, line: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{line}\n")
    program.chmod(0o755)
    return folder
