"""`restart()` returns when the new server is usable: its readiness is probed anew."""

import socket
import sys
from pathlib import Path

from servicectx import managed
from servicectx.wire import http

SLOW = """
import socket, sys, time
print("first line", flush=True)
time.sleep(1)  # a server that takes a while, also after a restart
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening now", flush=True)
while True:
    listener.accept()[0].close()
"""


# -- the log -------------------------------------------------------------------------------------------------------


def test_the_log_of_an_earlier_run_does_not_make_a_server_ready(home: Path) -> None:
    service = managed("command", command=[sys.executable, "-c", SLOW, "{port}"], ready="log:listening now")
    with service as details:
        for _ in range(2):
            service.restart(empty=True)
            socket.create_connection((details.host, details.port)).close()
        assert service.logs().count("listening now") == 3


def test_vault_replaces_the_unseal_key_of_the_new_run(home: Path) -> None:
    service = managed("vault")
    with service as vault:
        for _ in range(2):
            service.restart(empty=True)
            header = {"X-Vault-Token": vault.token}
            assert http.ask(vault.host, vault.port, "GET", "/v1/secret/config", None, header).status == 200
        assert service.alive
