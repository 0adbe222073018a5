"""Real brokers, mosquitto and amqtt, with paho."""

import contextlib
import os
import queue
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Literal

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from servicectx import BinaryNotFound, InvalidOption, MqttDetails, StartFailed, isolated, managed
from servicectx.services import registry
from servicectx.services.mqtt import wire as mqtt_wire
from tests import servers
from tests.services import killed, table
from tests.services.row import Row, no_password, password

LOGINS = (password(user="ada é"), no_password(user=""))
ROWS = [
    Row("mqtt", "mosquitto", "system", options={"server": "mosquitto"}, logins=LOGINS),
    Row("mqtt", "amqtt", options={"server": "amqtt"}, volatile="mosquitto", logins=LOGINS),
]


WAIT = 30
Server = Literal["mosquitto", "amqtt"]
SERVERS = pytest.mark.parametrize("server", ["mosquitto", "amqtt"])


class Session:
    """A connected client, and a queue of the events that it receives."""

    def __init__(self, details: MqttDetails) -> None:
        self.events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        if details.user:
            self.client.username_pw_set(details.user, details.password)
        self.client.on_connect = lambda *event: self.events.put(("connected", event[3]))
        self.client.on_subscribe = lambda *event: self.events.put(("subscribed", event[2]))
        self.client.on_message = lambda *event: self.events.put(
            ("message", (event[2].topic, event[2].payload.decode()))
        )
        self.client.connect(details.host, details.port)
        self.client.loop_start()
        self.code = self.next_event("connected")

    def next_event(self, expected: str) -> Any:
        while True:
            kind, value = self.events.get(timeout=WAIT)
            if kind == expected:
                return value

    def publish(self, topic: str, text: str, retain: bool = False) -> None:
        self.client.publish(topic, text, qos=1, retain=retain).wait_for_publish(WAIT)

    def subscribe(self, topic: str) -> None:
        self.client.subscribe(topic, qos=1)
        self.next_event("subscribed")

    def retained(self, topic: str) -> dict[str, str]:
        """The retained messages, by topic. All of them arrive before the reply to a second subscription."""
        found: dict[str, str] = {}
        _, first = self.client.subscribe(topic, qos=0)
        _, second = self.client.subscribe("nothing/there")
        assert first != second
        while True:
            kind, value = self.events.get(timeout=WAIT)
            if kind == "message":
                found[value[0]] = value[1]
            elif (kind, value) == ("subscribed", second):
                return found


@contextlib.contextmanager
def session(details: MqttDetails) -> Iterator[Session]:
    talking = Session(details)
    try:
        yield talking
    finally:
        talking.client.disconnect()
        talking.client.loop_stop()


@contextlib.contextmanager
def running(server: Server, **more: Any) -> Iterator[MqttDetails]:
    table.require(f"mqtt-{server}")
    with managed("mqtt", server=server, **more) as details:
        yield details


def put(details: MqttDetails, name: str, value: str) -> None:
    with session(details) as talking:
        assert talking.code == 0
        talking.publish(details.prefix + name, value, retain=True)


def get(details: MqttDetails, name: str) -> str | None:
    with session(details) as talking:
        return talking.retained(details.prefix + name).get(details.prefix + name)


def retained(details: MqttDetails) -> list[str]:
    with session(details) as talking:
        return sorted(talking.retained("#"))


@SERVERS
def test_messages_reach_those_who_subscribed(server: Server) -> None:
    with running(server) as details, session(details) as reader, session(details) as writer:
        assert reader.code == 0
        reader.subscribe("orders/#")
        writer.publish("orders/new", "ä")
        assert reader.next_event("message") == ("orders/new", "ä")


@SERVERS
@pytest.mark.parametrize("wrong", [{"password": "guess"}, {"user": "root"}, {"user": "", "password": ""}])
def test_a_wrong_login_is_refused(server: Server, wrong: dict[str, str]) -> None:
    with running(server) as details:
        bad = details.model_copy(update=wrong)
        with session(bad) as talking:
            assert talking.code.is_failure
        with pytest.raises((mqtt_wire.Refused, EOFError)), isolated(bad):
            pass


@SERVERS
@pytest.mark.parametrize("user", ["a:b", "#a", "", "a\nb"])
def test_a_user_that_the_file_of_users_cannot_hold_is_refused(server: Server, user: str) -> None:
    with pytest.raises(InvalidOption, match="user"), running(server, user=user):
        pass


@pytest.mark.parametrize("setting", ["password_file", "acl_file", "require_certificate"])
def test_a_setting_of_mosquitto_that_locks_clients_out_is_refused(setting: str) -> None:
    with pytest.raises(InvalidOption, match="set by servicectx"), running("mosquitto", settings={setting: "x"}):
        pass


@SERVERS
def test_the_environment_is_enough_for_a_client(server: Server) -> None:
    script = (
        "import os\n"
        "from paho.mqtt import publish\n"
        "login = {'username': os.environ['MQTT_USERNAME'], 'password': os.environ['MQTT_PASSWORD']}\n"
        "publish.single('a', '1', qos=1, retain=True, hostname=os.environ['MQTT_HOST'],"
        " port=int(os.environ['MQTT_PORT']), auth=login)\n"
    )
    with running(server) as details:
        subprocess.run([sys.executable, "-c", script], env=os.environ | details.env(), check=True, timeout=60)
        assert get(details, "a") == "1"
        assert details.env()["MQTT_URL"] == details.url
        assert details.url == f"mqtt://servicectx:{details.password}@127.0.0.1:{details.port}"


@SERVERS
def test_it_listens_on_loopback_only(server: Server) -> None:
    with running(server) as details:
        assert servers.listens_on_loopback_only(details.port)


@SERVERS
def test_what_is_in_a_namespace_goes_with_it(server: Server) -> None:
    with running(server) as details:
        put(details, "a", "0")
        with isolated(details) as one, isolated(details) as two:
            assert one.env()["MQTT_PREFIX"] == one.prefix
            put(one, "a/b", "1")
            put(one, "c" * 200, "1")
            put(two, "a", "2")
            assert len(retained(details)) == 4
        assert retained(details) == ["a"]


@SERVERS
def test_what_is_to_stay_outlives_its_maker(server: Server) -> None:
    with running(server) as details:
        killed.and_kept(details)
        before = retained(details)
        assert len(before) == 2
        with isolated(details):
            assert retained(details) == before


@SERVERS
def test_what_a_killed_user_left_is_removed_by_the_next(server: Server) -> None:
    with running(server) as details:
        killed.in_a_namespace(details)
        assert len(retained(details)) == 1
        with isolated(details):
            assert retained(details) == []


def test_the_version_of_mosquitto_is_told() -> None:
    with running("mosquitto") as details:
        program = servers.owner(details.port).exe()
        output = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout
        assert details.version
        assert f"version {details.version}\n" in output


def test_mosquitto_comes_before_the_package_amqtt() -> None:
    """The extra brings amqtt, too: unlike other servers of extras, it does not come before the system."""
    table.require("mqtt-mosquitto")
    service = registry.find("mqtt")
    assert service.program(service.options({})).endswith("/mosquitto")
    assert service.program(service.options({"server": "amqtt"})) == sys.executable


def test_settings_reach_mosquitto() -> None:
    listener = {"max_connections": 50, "max_qos": 1}
    with running("mosquitto", settings={"max_packet_size": 100, "retain_available": True, **listener}) as details:
        assert servers.listening(servers.owner(details.port)) == {("127.0.0.1", details.port)}
        put(details, "a", "1")
        with pytest.raises((OSError, EOFError)), contextlib.closing(connect(details)) as connection:
            connection.retain("long" * 100)


def connect(details: MqttDetails) -> mqtt_wire.Connection:
    return mqtt_wire.Connection(details.host, details.port, details.user, details.password)


def test_bad_settings_fail_with_the_server_s_own_words() -> None:
    with (
        pytest.raises(StartFailed, match="Unknown configuration variable"),
        running("mosquitto", settings={"no_such_setting": 1}),
    ):
        pass
    with pytest.raises(StartFailed, match="no_such_setting"), running("amqtt", settings={"no_such_setting": 1}):
        pass


@SERVERS
def test_settings_that_would_lead_elsewhere_are_refused(server: Server) -> None:
    ours = {"mosquitto": "password_file", "amqtt": "plugins"}[server]
    with pytest.raises(InvalidOption, match="set by servicectx"), running(server, settings={ours: "x"}):
        pass


def test_a_snapshot_keeps_what_mosquitto_retains() -> None:
    def fill(details: MqttDetails) -> None:
        put(details, "a", "1")

    with running("mosquitto", setup=fill, snapshot="one") as first:
        assert get(first, "a") == "1"
    with running("mosquitto", setup=fill, snapshot="one") as second:
        assert get(second, "a") == "1"
        assert second.password != first.password


def test_a_server_that_is_nowhere_is_told_with_all_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("SERVICECTX_MQTT_BIN", str(tmp_path))
    service = registry.find("mqtt")
    for server in (None, "mosquitto", "amqtt"):
        with pytest.raises(BinaryNotFound) as caught:
            service.program(service.options({"server": server}))
        assert any(str(tmp_path) in place for place in caught.value.looked)


def test_a_version_chooses_the_server() -> None:
    """mosquitto in that version, else amqtt in that version; an error lists the versions of both."""
    mqtt = registry.find("mqtt")

    def program(**options: Any) -> str:
        return os.path.basename(mqtt.program(mqtt.options(options)))

    assert program(version=">=1") == "mosquitto"
    for options in ({"version": "0"}, {"version": ">=0.12,<1", "server": "amqtt"}):
        assert program(**options).startswith("python")
    with pytest.raises(BinaryNotFound) as missing:
        program(version="99")
    lines = str(missing.value).splitlines()
    assert lines[0] == "mqtt: no server here has version 99; servers found:"
    assert re.fullmatch(r"  [\d.]+ \(.*/mosquitto\): another version", lines[1])
    assert re.fullmatch(r"  amqtt [\d.]+ \(.*/python[\d.]*\): another version", lines[2])
    assert "image: docker.io/library/eclipse-mosquitto:99" in str(missing.value)
    for server in ("mosquitto", "amqtt"):
        with pytest.raises(BinaryNotFound, match="no server here has version 99"):
            program(version="99", server=server)
    with managed("mqtt", version=">=1") as details:
        assert details.version is not None
        assert details.program_reason is not None
        assert details.program_reason.endswith("version >=1 asked")
