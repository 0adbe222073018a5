"""A port that another program takes at the last moment is replaced by another port."""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from servicectx import managed
from tests.keeper.test_probes import HangUp, Mute, Thief, YesMan
from tests.services import table


class Server(NamedTuple):
    """`program`, found through `variable`, binds the port; `sed` is a sed program that prints the port."""

    service: str
    program: str
    variable: str
    sed: str


SERVERS = [
    Server("mariadb", "/usr/sbin/mariadbd", "SERVICECTX_MARIADB_BIN", r's/^port = "\(.*\)"/\1/p'),
    Server("memcached", "/usr/bin/memcached", "SERVICECTX_MEMCACHED_BIN", "s/^--port=//p"),
    Server("zookeeper", "/usr/bin/java", "SERVICECTX_JAVA_BIN", "s/^clientPort=//p"),
]

ROBBED = """#!/bin/sh
place={place}
for last in "$@"; do :; done
if [ ! -e $place/taken ]; then
    {{ printf '%s\\n' "$@"; cat -- "${{1#--defaults-file=}}" "$last"; }} 2>/dev/null | sed -n '{sed}' > $place/port.new
    [ ! -s $place/port.new ] || {{
        mv $place/port.new $place/port
        while [ ! -e $place/taken ]; do sleep 0.01; done
    }}
fi
exec {program} "$@"
"""


@pytest.mark.parametrize("handler", [YesMan, HangUp, Mute])
@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.service)
def test_a_server_that_lost_its_port_gets_another(
    server: Server, handler: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.require(server.service)
    with tempfile.TemporaryDirectory(dir=home.parent) as name:
        tree = Path(name)
        tree.chmod(0o755)
        for folder in ("bin", "lib", "share"):  # the rest of its tree
            (tree / folder).symlink_to(f"/usr/{folder}")
        program = tree / "sbin" / Path(server.program).name
        program.parent.mkdir()
        with Thief(handler, tree / "thief") as thief:
            program.write_text(ROBBED.format(place=tree / "thief", sed=server.sed, program=server.program))
            program.chmod(0o755)
            monkeypatch.setenv(server.variable, str(program.parent))
            with managed(server.service) as details:
                usage = table.usage(server.service)
                assert usage
                usage.put(details, "a", "1")
                assert usage.get(details, "a") == "1"
            assert thief.port not in (0, details.port)
