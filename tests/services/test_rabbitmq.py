"""A real RabbitMQ, with its real clients. Most tests share one, since a start takes seconds."""

import asyncio
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aio_pika
import celery
import kombu
import pika
import psutil
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker, ProbableAccessDeniedError, ProbableAuthenticationError

from servicectx import (
    BinaryNotFound,
    InvalidOption,
    NotIsolable,
    RabbitmqDetails,
    StartFailed,
    isolated,
    managed,
)
from servicectx.isolation import owner_names
from servicectx.services.rabbitmq import plugins
from servicectx.services.rabbitmq.service import Rabbitmq
from servicectx.services.rabbitmq.vhosts import RabbitmqVhosts, _request
from servicectx.wire import http
from tests import leftovers, servers
from tests.keeper.test_probes import Mute, Thief, YesMan
from tests.services import killed
from tests.services.row import Row, password

ROWS = [
    Row(
        "rabbitmq",
        needs="system",
        logins=(password(user="ada # é", vhost="shop/{port} ü"),),
        not_possible=(({"password": None}, "clients of RabbitMQ always log in"),),
    ),
]


pytestmark = pytest.mark.timeout(300)


@contextmanager
def channel(details: RabbitmqDetails) -> Iterator[BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(details.url))
    try:
        yield connection.channel()
    finally:
        connection.close()


def put(details: RabbitmqDetails, name: str, value: str) -> None:
    with channel(details) as opened:
        opened.queue_declare(name)
        opened.basic_publish("", name, value.encode())


def get(details: RabbitmqDetails, name: str) -> str | None:
    with channel(details) as opened:
        try:
            _, _, body = opened.basic_get(name)  # not acknowledged, so it stays
        except ChannelClosedByBroker:
            return None
        return None if body is None else body.decode()


@pytest.fixture(scope="module")
def shared(run_directory: Path) -> Iterator[RabbitmqDetails]:
    home = Path(tempfile.mkdtemp(prefix="rabbit-", dir=run_directory))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVICECTX_HOME", str(home))
        with managed("rabbitmq", scope="private", settings={"heartbeat": 77}, timeout=200) as details:
            yield details
    assert leftovers.files(home) == []


def vhosts(details: RabbitmqDetails) -> set[str]:
    return {entry["name"] for entry in _request(details, "GET", "vhosts")}


def test_clients_connect(shared: RabbitmqDetails) -> None:
    put(shared, "colour", "grün")
    assert get(shared, "colour") == "grün"
    asyncio.run(use_asynchronously(shared))


async def use_asynchronously(details: RabbitmqDetails) -> None:
    async with await aio_pika.connect_robust(details.url) as connection:
        opened = await connection.channel()
        queue = await opened.declare_queue("colour")
        message = await queue.get()
        assert message.body.decode() == "grün"
        await message.ack()


def test_celery_finds_it_by_its_environment(shared: RabbitmqDetails) -> None:
    script = "import celery; c = celery.Celery().connection(); c.ensure_connection(max_retries=1); print(c.connected)"
    assert celery.Celery().conf.broker_url is None
    with isolated(shared) as mine:
        for details in (shared, mine):
            result = subprocess.run(
                [sys.executable, "-c", script], env=os.environ | details.env(), capture_output=True, text=True
            )
            assert result.stdout == "True\n", result.stderr


def test_each_client_connects_by_its_url(shared: RabbitmqDetails) -> None:
    with isolated(shared) as mine:
        for details in (shared, mine):
            for driver in ("celery", "kombu"):
                with celery.Celery(broker=details.url_for(driver)).connection() as connection:
                    connection.ensure_connection(max_retries=1)
                    assert connection.connected
                    assert connection.transport.driver_name == "py-amqp"
            with pika.BlockingConnection(pika.URLParameters(details.url_for("pika"))) as link:
                assert link.is_open


def test_wrong_credentials_are_refused(shared: RabbitmqDetails) -> None:
    wrong: list[dict[str, Any]] = [{"password": "guess"}, {"user": "guest", "password": "guest"}]
    for fields in wrong:
        with pytest.raises(ProbableAuthenticationError), channel(shared.model_copy(update=fields)):
            pass
    with pytest.raises(ProbableAccessDeniedError), channel(shared.model_copy(update={"vhost": "another"})):
        pass


def test_settings_reach_the_server(shared: RabbitmqDetails) -> None:
    with channel(shared) as opened:
        assert opened.connection._impl.params.heartbeat == 77
    with pytest.raises(InvalidOption, match="'default_pass' is set by servicectx"):
        managed("rabbitmq", settings={"default_pass": "x"}).__enter__()


def test_it_is_as_clients_expect_it_without_any_setting() -> None:
    """The login that they all have as their default."""
    with managed("rabbitmq", user="guest", password="guest", timeout=200) as details:
        assert details.url == f"amqp://guest:guest@127.0.0.1:{details.port}"
        client: Any = kombu  # untyped
        with client.Connection(hostname=details.host, port=details.port) as connection:
            connection.ensure_connection(max_retries=1)
        with pika.BlockingConnection(pika.ConnectionParameters(details.host, details.port)) as plain:
            assert plain.is_open
        asyncio.run(connect_by_default(details))
        with pytest.raises(ProbableAuthenticationError), channel(details.model_copy(update={"user": "test"})):
            pass
        with isolated(details) as mine, channel(mine):
            assert mine.user == "guest"


async def connect_by_default(details: RabbitmqDetails) -> None:
    async with await aio_pika.connect(host=details.host, port=details.port) as connection:
        await connection.channel()


@pytest.mark.parametrize(
    "setting", ["default_user", "Default_Vhost", "auth_mechanisms.1", "auth_backends.1", "loopback_users.guest"]
)
def test_a_setting_that_the_login_owns_is_refused(setting: str) -> None:
    with pytest.raises(InvalidOption, match=f"{setting!r} is set by servicectx"):
        managed("rabbitmq", user="guest", password="guest", settings={setting: "x"}).__enter__()


def test_a_user_s_name_for_the_management_api_has_no_colon() -> None:
    with pytest.raises(InvalidOption, match="accepts no ':' in it"):
        managed("rabbitmq", user="a:b").__enter__()
    with pytest.raises(InvalidOption, match=r"vhost.*it is empty"):
        managed("rabbitmq", vhost="").__enter__()


def test_the_version_is_told(shared: RabbitmqDetails) -> None:
    assert shared.version == _request(shared, "GET", "overview")["rabbitmq_version"]


def test_the_management_api_has_pages(shared: RabbitmqDetails) -> None:
    assert shared.management_url is not None
    with urllib.request.urlopen(shared.management_url, timeout=30) as page:
        assert b"RabbitMQ" in page.read()
    answer = http.ask(shared.host, shared.management_port or 0, "GET", "/api/overview")
    assert answer.status == 401


def test_every_port_is_on_loopback_and_no_epmd_runs(shared: RabbitmqDetails) -> None:
    server = servers.owner(shared.port)
    assert server.name() == "beam.smp"
    ports = {end.laddr.port for end in server.net_connections("inet") if end.status == psutil.CONN_LISTEN}
    assert len(ports) == 3
    assert {shared.port, shared.management_port} < ports
    assert all(servers.listens_on_loopback_only(port) for port in ports)
    assert servers.environment(server)["ERL_EPMD_PORT"] == "1"
    started = [process for process in psutil.process_iter(["name", "environ"]) if process.info["name"] == "epmd"]
    assert not [process for process in started if server.cwd() in str(process.info["environ"])]


def test_details() -> None:
    plain = RabbitmqDetails(service="rabbitmq", name="rabbitmq", host="mq.test", port=5672)
    assert (plain.url, plain.management_url) == ("amqp://guest:guest@mq.test:5672", None)
    other = plain.model_copy(update={"vhost": "a/b", "password": "p@s", "management_port": 15672})
    assert (other.url, other.management_url) == ("amqp://guest:p%40s@mq.test:5672/a%2Fb", "http://mq.test:15672")
    assert {other.env()[name] for name in ("AMQP_URL", "RABBITMQ_URL", "CELERY_BROKER_URL")} == {other.url}
    assert (other.env()["RABBITMQ_VHOST"], other.env()["RABBITMQ_PASSWORD"]) == ("a/b", "p@s")


# -- namespaces --------------------------------------------------------------------------------------------------


def test_a_namespace_is_a_vhost(shared: RabbitmqDetails) -> None:
    before = vhosts(shared)
    with isolated(shared) as mine, isolated(shared) as yours:
        assert vhosts(shared) == before | {mine.vhost, yours.vhost}
        put(mine, "shape", "round")
        assert (get(yours, "shape"), get(shared, "shape")) == (None, None)
        with channel(yours) as opened:
            yours_is_removed_under_its_user = opened.connection
            with isolated(shared):
                pass
            assert yours_is_removed_under_its_user.is_open
    assert vhosts(shared) == before


def test_what_a_killed_user_left_is_removed(shared: RabbitmqDetails) -> None:
    before = vhosts(shared)
    killed.in_a_namespace(shared)
    assert len(vhosts(shared) - before) == 1
    with isolated(shared) as mine:
        assert vhosts(shared) == before | {mine.vhost}


def test_one_that_is_kept_outlives_its_maker(shared: RabbitmqDetails, monkeypatch: pytest.MonkeyPatch) -> None:
    vhosts_of = RabbitmqVhosts(shared)
    kept = vhosts_of.open()
    put(kept, "colour", "green")
    vhosts_of.keep(kept)
    with isolated(shared) as left:
        monkeypatch.setattr(owner_names, "owner_is_dead", lambda name: name in (kept.vhost, left.vhost))
        with isolated(shared) as mine:
            assert {kept.vhost, left.vhost, mine.vhost} & vhosts(shared) == {kept.vhost, mine.vhost}
            assert get(kept, "colour") == "green"
    vhosts_of.close(kept)


def test_one_that_is_gone_already_is_not_missed(shared: RabbitmqDetails) -> None:
    with isolated(shared) as mine:
        _request(shared, "DELETE", f"vhosts/{mine.vhost}")


def test_vhosts_need_the_management_api_and_its_consent(shared: RabbitmqDetails) -> None:
    with pytest.raises(NotIsolable, match="give its management_port"):
        isolated(shared.model_copy(update={"management_port": None})).__enter__()
    with pytest.raises(NotIsolable, match="401"):
        isolated(shared.model_copy(update={"password": "guess"})).__enter__()


# -- starting ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"no.such.setting": 1}, "You've tried to set no.such.setting, but there is no setting with that name."),
        ({"heartbeat": "much"}, "heartbeat"),
    ],
)
def test_a_bad_setting_fails_with_the_server_s_own_words(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(StartFailed) as caught:
        managed("rabbitmq", settings=settings, timeout=200).__enter__()
    assert message in str(caught.value.log_tail)
    assert "BOOT FAILED" in str(caught.value.log_tail)


def test_a_plugin_may_be_added() -> None:
    with managed("rabbitmq", plugins=["rabbitmq_consistent_hash_exchange"], timeout=200) as rabbitmq:
        with channel(rabbitmq) as opened:
            opened.exchange_declare("spread", "x-consistent-hash")
        server = servers.owner(rabbitmq.port)
        children = server.children(recursive=True)
        assert children
    for process in (server, *children):
        assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_an_unknown_plugin_is_refused() -> None:
    with pytest.raises(InvalidOption) as caught:
        managed("rabbitmq", plugins=["rabbitmq_teleport"]).__enter__()
    assert "has no 'rabbitmq_teleport'" in str(caught.value)
    assert "rabbitmq_shovel" in (caught.value.known or [])


def test_only_the_server_s_own_script_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = tmp_path / "rabbitmq-server"
    wrapper.write_text("#!/bin/sh\nsu rabbitmq\n")
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = Rabbitmq().program(Rabbitmq.Options())
    assert not found.startswith((str(tmp_path), "/usr/sbin"))
    monkeypatch.setenv("SERVICECTX_RABBITMQ_BIN", str(tmp_path))
    with pytest.raises(BinaryNotFound, match="which is not RabbitMQ's own script"):
        Rabbitmq().program(Rabbitmq.Options())


def test_where_applications_are_archives_all_are_shown(tmp_path: Path) -> None:
    for name, needs in {"rabbit": "kernel,ra,missing", "ra": "stdlib", "rabbitmq_mqtt": "rabbit"}.items():
        (tmp_path / f"{name}-1.0" / "ebin").mkdir(parents=True)
        (tmp_path / f"{name}-1.0" / "ebin" / f"{name}.app").write_text(f"{{applications, [{needs}]}},")
    assert [path.name for path in plugins.needed(tmp_path, ["rabbit"])] == ["rabbit-1.0", "ra-1.0"]
    (tmp_path / "ra-1.0" / "ebin" / "ra.app").unlink()
    assert len(plugins.needed(tmp_path, ["rabbit"])) == 3


ROBBED = """#!/bin/sh
place={place}
if [ ! -e $place/taken ]; then
    sed -n 's/^{setting} = \\(127.0.0.1:\\)*//p' "$RABBITMQ_CONFIG_FILE.conf" > $place/port.new
    mv $place/port.new $place/port
    while [ ! -e $place/taken ]; do sleep 0.01; done
fi
exec {program} "$@"
"""


@pytest.mark.parametrize(("setting", "handler"), [("listeners.tcp.1", YesMan), ("management.tcp.port", Mute)])
def test_a_port_that_is_lost_is_not_used(
    setting: str, handler: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path(Rabbitmq().program(Rabbitmq.Options()))
    for name in ("plugins", "escript"):
        (tmp_path / name).symlink_to(real.parents[1] / name)
    (tmp_path / "sbin").mkdir()
    for beside in real.parent.iterdir():
        (tmp_path / "sbin" / beside.name).symlink_to(beside)
    robbed = tmp_path / "sbin" / real.name
    robbed.unlink()
    monkeypatch.setenv("SERVICECTX_RABBITMQ_BIN", str(robbed.parent))
    with Thief(handler, tmp_path / "thief") as thief:
        robbed.write_text(ROBBED.format(place=tmp_path / "thief", setting=setting, program=real))
        robbed.chmod(0o755)
        with managed("rabbitmq", timeout=200) as rabbitmq:
            put(rabbitmq, "colour", "green")
            with isolated(rabbitmq) as mine:
                assert get(mine, "colour") is None
            assert thief.port not in (0, rabbitmq.port, rabbitmq.management_port)
