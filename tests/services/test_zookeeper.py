"""A real ZooKeeper, with its real client."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError
from kazoo.security import make_digest_acl

from servicectx import BinaryNotFound, InvalidOption, NotIsolable, StartFailed, ZookeeperDetails, isolated, managed
from servicectx.services import binaries, registry
from servicectx.services.zookeeper.paths import ZookeeperPaths
from servicectx.services.zookeeper.wire import Connection, Refused
from tests import servers
from tests.services import killed
from tests.services.row import Row

ROWS = [
    Row("zookeeper", needs="system"),
]


WAIT = 30.0  # seconds


@contextmanager
def connected(details: ZookeeperDetails) -> Iterator[KazooClient]:
    client = KazooClient(hosts=details.hosts)
    client.start(timeout=WAIT)
    try:
        yield client
    finally:
        client.stop()
        client.close()


def put(details: ZookeeperDetails, name: str, value: str) -> None:
    with connected(details) as client:
        client.create(f"/kept/{name}", value.encode(), makepath=True)


def get(details: ZookeeperDetails, name: str) -> str | None:
    with connected(details) as client:
        try:
            return client.get(f"/kept/{name}")[0].decode()
        except NoNodeError:
            return None


def namespaces(details: ZookeeperDetails) -> list[str]:
    with connected(details) as client:
        return [name for name in client.get_children("/") if name.startswith("sc_")]


def command(details: ZookeeperDetails, name: str) -> str:
    with connected(details) as client:
        return str(client.command(name.encode()))


# -- clients -----------------------------------------------------------------------------------------------------


def test_nodes_watches_and_locks() -> None:
    with managed("zookeeper") as zookeeper, connected(zookeeper) as one, connected(zookeeper) as two:
        seen = threading.Event()
        one.create("/a", "ä".encode())
        two.DataWatch("/a", lambda data, _: seen.set() if data == b"changed" else None)
        one.set("/a", b"changed")
        assert seen.wait(WAIT)
        one.create("/here", ephemeral=True)
        with one.Lock("/lock", "one"):
            assert two.Lock("/lock", "two").contenders() == ["one"]
        one.stop()
        assert two.exists("/here") is None


def test_many_clients_of_one_address() -> None:
    with managed("zookeeper") as zookeeper:
        held = [Connection(zookeeper.host, zookeeper.port) for _ in range(70)]
        for connection in held:
            assert "zookeeper" in connection.children("/")
            connection.__exit__()


def test_the_environment_is_enough_for_a_client() -> None:
    client = "KazooClient(os.environ['ZOOKEEPER_HOSTS'])"
    script = f"import os; from kazoo.client import KazooClient; c = {client}; c.start(); print(c.get_children('/'))"
    with managed("zookeeper") as zookeeper, isolated(zookeeper) as mine:
        put(mine, "a", "1")
        done = subprocess.run(
            [sys.executable, "-c", script + "; c.stop()"],
            env=os.environ | mine.env(),
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout == "['kept']\n"


def test_the_shell_works_in_the_namespace() -> None:
    with managed("zookeeper") as zookeeper, isolated(zookeeper) as mine:
        client = registry.find("zookeeper").client(mine)
        assert client
        arguments = [binaries.find(client.search), *client.arguments, "create", "/a", "1"]
        subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, check=True)
        with connected(zookeeper) as seen:
            assert seen.exists(f"{mine.prefix}/a")


def test_details_have_a_form_for_every_client() -> None:
    details = ZookeeperDetails(service="zookeeper", name="z", host="::1", port=1, prefix="/p")
    assert (details.url, details.hosts) == ("zookeeper://[::1]:1/p", "[::1]:1/p")
    assert details.env() == {"ZOOKEEPER_HOSTS": "[::1]:1/p", "ZK_HOSTS": "[::1]:1/p"}


# -- options -----------------------------------------------------------------------------------------------------


def test_settings_reach_the_server() -> None:
    with managed("zookeeper", settings={"tickTime": 200, "4lw.commands.whitelist": "conf"}) as zookeeper:
        lines = command(zookeeper, "conf").splitlines()
        assert {"tickTime=200", "minSessionTimeout=400", "maxClientCnxns=0"} <= set(lines)
        assert "not in the whitelist" in command(zookeeper, "ruok")


def test_a_bad_setting_fails_with_the_server_s_own_words() -> None:
    with pytest.raises(StartFailed) as caught, managed("zookeeper", settings={"tickTime": "soon"}):
        pass
    assert caught.value.exit_status == 2
    assert "soon" in str(caught.value.log_tail)


@pytest.mark.parametrize("ours", ["clientPort", "dataDir", "admin.serverPort", "server.1", "metricsProvider.httpPort"])
def test_settings_that_would_lead_elsewhere_are_refused(ours: str) -> None:
    with pytest.raises(InvalidOption, match="set by servicectx"), managed("zookeeper", settings={ours: "1"}):
        pass


def test_all_that_listens_is_one_port_on_loopback() -> None:
    with managed("zookeeper") as zookeeper:
        assert servers.listens_on_loopback_only(zookeeper.port)
        sockets = servers.owner(zookeeper.port).net_connections("inet")
        assert {end.laddr.port for end in sockets if not end.raddr} == {zookeeper.port}


def test_java_leaves_nothing_for_its_tools_to_find() -> None:
    with managed("zookeeper") as zookeeper:
        pid = servers.owner(zookeeper.port).pid
        assert not list(Path("/tmp").glob(f"hsperfdata_*/{pid}"))
        assert not list(Path("/tmp").glob(f".java_pid{pid}"))


def test_the_version_is_told() -> None:
    with managed("zookeeper") as zookeeper, connected(zookeeper) as client:
        assert zookeeper.version == ".".join(map(str, client.server_version()))


def test_without_java_it_is_java_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_JAVA_BIN", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(BinaryNotFound, match="openjdk") as caught, managed("zookeeper"):
        pass
    assert caught.value.binary == "java"


def test_a_tree_as_the_project_ships_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree from Debian's parts: the jars of a release in `lib`, and the Java in JAVA_HOME."""
    tree = tmp_path / "apache-zookeeper-3.8.0-bin"
    (tree / "bin").mkdir(parents=True)
    (tree / "lib").mkdir()
    for name in ("zkServer.sh", "zkCli.sh"):
        (tree / "bin" / name).write_text("#!/bin/sh\n")
        (tree / "bin" / name).chmod(0o755)
    for jar in Path("/usr/share/java").glob("zookeeper*.jar"):
        (tree / "lib" / jar.name).symlink_to(jar)
    (tree / "lib/zookeeper-3.8.0.jar").exists() or pytest.fail("Debian's package has no such jar")
    monkeypatch.setenv("SERVICECTX_ZOOKEEPER_BIN", str(tree / "bin"))
    monkeypatch.setenv("JAVA_HOME", str(Path("/usr/bin/java").resolve().parents[1]))
    with managed("zookeeper") as zookeeper:
        put(zookeeper, "a", "1")
        started = servers.owner(zookeeper.port).cmdline()
        assert started[0] == f"{os.environ['JAVA_HOME']}/bin/java"
        assert started[2] == f"{tree}/lib/*"


def test_a_snapshot_keeps_nodes() -> None:
    def fill(details: ZookeeperDetails) -> None:
        put(details, "a", "1")

    for _ in range(2):
        with managed("zookeeper", setup=fill, snapshot="one") as zookeeper:
            assert get(zookeeper, "a") == "1"


# -- namespaces --------------------------------------------------------------------------------------------------


def test_a_namespace_is_a_path_that_goes_with_all_below_it() -> None:
    with managed("zookeeper") as zookeeper:
        with isolated(zookeeper) as mine, connected(mine) as client:
            for number in range(50):
                client.create(f"/a/{number}/b/c", makepath=True)
            client.create("/here", ephemeral=True)
            assert namespaces(zookeeper) == [mine.prefix[1:]]
        assert namespaces(zookeeper) == []


def test_a_namespace_can_lie_in_another() -> None:
    with managed("zookeeper") as zookeeper, isolated(zookeeper) as outer:
        with isolated(outer) as inner:
            assert inner.prefix.startswith(outer.prefix + "/sc_")
            put(inner, "a", "1")
            assert namespaces(outer) == [inner.prefix.rpartition("/")[2]]
        assert namespaces(outer) == []


def test_what_a_killed_user_left_is_removed_by_the_next_unless_it_was_kept() -> None:
    with managed("zookeeper") as zookeeper:
        killed.in_a_namespace(zookeeper)
        (left,) = namespaces(zookeeper)
        ZookeeperPaths(zookeeper).keep(zookeeper.model_copy(update={"prefix": f"/{left}"}))
        killed.in_a_namespace(zookeeper)
        assert len(namespaces(zookeeper)) == 2
        with isolated(zookeeper) as mine:
            assert sorted(namespaces(zookeeper)) == sorted([left, mine.prefix[1:]])


def test_a_path_that_is_not_there_or_not_ours_is_told() -> None:
    with managed("zookeeper") as zookeeper:
        nowhere = zookeeper.model_copy(update={"prefix": "/nowhere"})
        with pytest.raises(NotIsolable, match="error -101 for '/nowhere'"), isolated(nowhere):
            pass
        with connected(zookeeper) as client:
            client.create("/locked", acl=[make_digest_acl("somebody", "secret", all=True)])
        locked = zookeeper.model_copy(update={"prefix": "/locked"})
        with pytest.raises(NotIsolable, match="error -102"), isolated(locked):
            pass


def test_the_wire_ends_its_sessions() -> None:
    with managed("zookeeper") as zookeeper:
        with Connection(zookeeper.host, zookeeper.port) as connection:
            connection.create("/a")
            connection.set("/a", b"x" * 100000)
            assert connection.get("/a") == b"x" * 100000
            with pytest.raises(Refused):
                connection.get("/b")
            connection.remove("/a")
            connection.remove("/a")
            assert connection.children("/") == ["zookeeper"]
        assert "Connections: 2\n" in command(zookeeper, "srvr")  # both of the client that sends this command
