"""A real memcached, with its real client."""

import os
import subprocess
import sys
import threading
from contextlib import closing
from typing import Any

import pytest
from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient

from servicectx import InvalidOption, MemcachedDetails, StartFailed, isolated, managed
from servicectx.services.memcached import namespace as memcached_keys
from tests import servers
from tests.services import killed
from tests.services.row import Row

ROWS = [
    Row("memcached", needs="system", volatile="cache in memory", socket=True),
]


def connect(details: MemcachedDetails) -> Client:
    return Client(details.server, key_prefix=details.prefix.encode())


def put(details: MemcachedDetails, name: str, value: str) -> None:
    with closing(connect(details)) as client:
        assert client.set(name, value, noreply=False)


def get(details: MemcachedDetails, name: str) -> str | None:
    with closing(connect(details)) as client:
        found = client.get(name)
        return None if found is None else found.decode()


def keys(details: MemcachedDetails) -> list[str]:
    return memcached_keys.signed(details.host, details.port)


def stats(details: MemcachedDetails) -> dict[str, Any]:
    with closing(connect(details)) as client:
        return {name.decode(): value for name, value in client.stats("settings").items()}


def test_clients_connect() -> None:
    with managed("memcached") as memcached:
        for client in (
            Client((memcached.host, memcached.port)),
            PooledClient(memcached.server, max_pool_size=2),
            HashClient([memcached.server], use_pooling=True),
        ):
            client.set("a", "ä".encode(), noreply=False)
            assert client.get("a") == "ä".encode()
            client.close()


def test_details_have_a_form_for_every_client() -> None:
    details = MemcachedDetails(service="memcached", name="m", host="::1", port=1, prefix="p:")
    assert (details.server, details.url) == ("[::1]:1", "memcached://[::1]:1")
    assert details.env() == {
        "MEMCACHED_SERVERS": "[::1]:1",
        "MEMCACHE_SERVERS": "[::1]:1",
        "MEMCACHED_HOST": "::1",
        "MEMCACHED_PORT": "1",
        "MEMCACHED_URL": "memcached://[::1]:1",
        "MEMCACHED_PREFIX": "p:",
    }
    assert "MEMCACHED_PREFIX" not in details.model_copy(update={"prefix": ""}).env()


def test_settings_reach_the_server() -> None:
    given = {"memory-limit": 8, "max_item_size": "2m", "disable-evictions": True, "disable-cas": False}
    with managed("memcached", settings=given) as memcached:
        figures = stats(memcached)
        assert (figures["maxbytes"], figures["item_size_max"]) == (8 << 20, 2 << 20)
        assert (figures["evictions"], figures["cas_enabled"]) == (b"off", b"yes")
        put(memcached, "long", "x" * (3 << 19))


def test_a_bad_setting_fails_with_the_server_s_own_words() -> None:
    with pytest.raises(StartFailed, match="unrecognized option '--no-such=1'") as caught:
        managed("memcached", settings={"no-such": 1}).__enter__()
    assert caught.value.exit_status


@pytest.mark.parametrize("ours", ["port", "unix_socket", "Listen", "list", "daemon", "auth-file"])
def test_settings_that_would_lead_elsewhere_are_refused(ours: str) -> None:
    with pytest.raises(InvalidOption, match="set by servicectx"), managed("memcached", settings={ours: "1"}):
        pass


def test_all_that_listens_is_one_port_on_loopback() -> None:
    with managed("memcached") as memcached:
        assert servers.listens_on_loopback_only(memcached.port)
        sockets = servers.owner(memcached.port).net_connections("all")
        assert {end.laddr.port for end in sockets if end.laddr and not isinstance(end.laddr, str)} == {memcached.port}


def test_the_version_is_told() -> None:
    with managed("memcached") as memcached, closing(connect(memcached)) as client:
        assert memcached.version
        assert client.version() == memcached.version.encode()


# -- namespaces --------------------------------------------------------------------------------------------------


def test_a_prefix_ends_with_a_colon_and_is_in_the_environment() -> None:
    with managed("memcached") as memcached, isolated(memcached) as mine:
        assert mine.prefix.endswith(":")
        assert mine.env()["MEMCACHED_PREFIX"] == mine.prefix
        assert memcached.prefix == ""
        put(mine, "x" * (250 - len(mine.prefix)), "the longest key that the server takes")


def test_what_is_in_a_namespace_goes_with_it() -> None:
    with managed("memcached") as memcached:
        put(memcached, "a", "0")
        with isolated(memcached) as one, isolated(memcached) as two:
            for number in range(1000):
                put(one, f"a/{number}%", "x" * number)
            put(two, "a", "2")
            assert len(keys(memcached)) == 1001
        assert keys(memcached) == []
        assert get(memcached, "a") == "0"


def test_what_a_killed_user_left_is_removed_by_the_next() -> None:
    with managed("memcached") as memcached:
        killed.in_a_namespace(memcached)
        assert len(keys(memcached)) == 1
        with isolated(memcached):
            assert keys(memcached) == []


def test_many_come_and_go_at_once() -> None:
    """The server lists keys for one client at a time, and reports BUSY to all others."""
    troubles: list[BaseException] = []

    def work(details: MemcachedDetails) -> None:
        try:
            for _ in range(20):
                with isolated(details) as mine:
                    put(mine, "a", "1")
        except BaseException as trouble:
            troubles.append(trouble)

    with managed("memcached") as memcached:
        threads = [threading.Thread(target=work, args=(memcached,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert troubles == []
        assert keys(memcached) == []


def test_a_server_that_does_not_list_keys_gives_namespaces_all_the_same() -> None:
    with managed("memcached", settings={"disable-dumping": True}) as memcached, isolated(memcached) as mine:
        put(mine, "a", "1")
        assert get(memcached, "a") is None


def test_on_a_server_from_outside_nothing_is_searched() -> None:
    with managed("memcached") as memcached:
        with isolated(memcached.model_copy(update={"external": True})) as mine:
            put(mine, "a", "1")
        assert len(keys(memcached)) == 1


def test_the_environment_is_enough_for_the_tools() -> None:
    script = (
        "import os; from pymemcache import HashClient; print(HashClient([os.environ['MEMCACHED_SERVERS']]).get('a'))"
    )
    with managed("memcached") as memcached:
        put(memcached, "a", "1")
        done = subprocess.run(
            [sys.executable, "-c", script], env=os.environ | memcached.env(), capture_output=True, text=True, check=True
        )
    assert done.stdout == "b'1'\n"
