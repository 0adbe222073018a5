"""MongoDB: its plan and all operations, against a stand-in program."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import bson
import pymongo
import pymongo.errors
import pytest

from servicectx import BinaryNotFound, InvalidOption, MongodbDetails, StartFailed, isolated, managed
from servicectx.services.mongodb import wire as mongodb_wire
from servicectx.services.mongodb.service import Mongodb
from servicectx.state import persistent
from servicectx.testing import Usage, check_service
from tests.services import killed, standins
from tests.services.row import ODD_PASSWORD, Row

# No server of this kind runs where these tests run.
ROWS: list[Row] = []


@pytest.fixture(autouse=True)
def _stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o755)
    monkeypatch.setenv("SERVICECTX_MONGODB_BIN", str(standins.install(tmp_path / "bin", "mongod")))


@contextmanager
def connected(details: MongodbDetails) -> Iterator[Any]:
    with pymongo.MongoClient[dict[str, Any]](details.url, serverSelectionTimeoutMS=5000) as client:
        yield client.get_default_database()


def put(details: MongodbDetails, name: str, value: str) -> None:
    with connected(details) as database:
        database.kept.update_one({"name": name}, {"$set": {"value": value}}, upsert=True)


def get(details: MongodbDetails, name: str) -> str | None:
    with connected(details) as database:
        found = database.kept.find_one({"name": name})
        return None if found is None else str(found["value"])


def databases(details: MongodbDetails) -> set[str]:
    with connected(details) as database:
        return {entry["name"] for entry in database.client.admin.command("listDatabases")["databases"]}


@pytest.mark.timeout(240)
def test_it_keeps_its_promises() -> None:
    check_service("mongodb", usage=Usage(put, get), timeout=100)


def test_the_command_line_is_what_its_documentation_asks_for() -> None:
    service = Mongodb()
    options = service.options({"settings": {"ttlMonitorSleepSecs": 1, "notablescan": True}})
    plan = service.plan(options, service.program(options), "s3cret")
    assert plan.command[1:] == [
        *("--dbpath", "{data}", "--bind_ip", "{host}", "--port", "{port}", "--nounixsocket", "--auth"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        *("--setParameter", "ttlMonitorSleepSecs=1", "--setParameter", "notablescan=true"),
    ]
    assert "s3cret" not in f"{plan.command} {plan.environment} {plan.files}"


def test_a_wrong_password_is_refused() -> None:
    with managed("mongodb") as mongodb:
        assert (mongodb.user, mongodb.version) == ("root", "8.0.1")
        for changed in ({"password": "guess"}, {"user": "somebody"}):
            with pytest.raises(pymongo.errors.OperationFailure, match="Authentication failed"):
                get(mongodb.model_copy(update=changed), "a")
        with pytest.raises(pymongo.errors.OperationFailure, match="requires authentication"):
            get(mongodb.model_copy(update={"user": ""}), "a")


def test_a_chosen_login_is_the_only_one() -> None:
    with managed("mongodb", user="ada, é", password=ODD_PASSWORD) as mongodb:
        assert (mongodb.user, mongodb.password) == ("ada, é", ODD_PASSWORD)
        put(mongodb, "a", "1")
        assert get(mongodb, "a") == "1"
        for changed in ({"password": "guess"}, {"user": "root"}):
            with pytest.raises(pymongo.errors.OperationFailure, match="Authentication failed"):
                get(mongodb.model_copy(update=changed), "a")
        with isolated(mongodb) as mine:
            put(mine, "a", "2")


@pytest.mark.parametrize("none", [None, False])
def test_without_a_login_every_client_may_write(none: Literal[False] | None) -> None:
    with managed("mongodb", password=none) as mongodb:
        assert mongodb.url == f"mongodb://127.0.0.1:{mongodb.port}/test"
        assert mongodb.version == "8.0.1"
        put(mongodb, "a", "1")
        with isolated(mongodb) as mine:
            assert get(mine, "a") is None


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"password": ""}, "password.*it is empty; None means no login"),
        ({"user": ""}, "user.*it is empty"),
        ({"user": "a\nb"}, "user.*a line break"),
        ({"password": "ﬁ"}, "password.*SCRAM changes a character"),
        ({"user": "ada", "password": None}, "user.*then there are no users"),
    ],
)
def test_a_login_that_cannot_be_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidOption, match=problem):
        managed("mongodb", **options).__enter__()


def test_nobody_else_can_make_a_user() -> None:
    with managed("mongodb") as mongodb:
        nobody = mongodb.model_copy(update={"user": ""})
        with connected(nobody) as database, pytest.raises(pymongo.errors.OperationFailure):
            database.client.admin.command("createUser", "me", pwd="x", roles=["root"])


def test_options_reach_the_server() -> None:
    options: Any = {"dbname": "shop", "settings": {"ttlMonitorSleepSecs": 1}}
    with managed("mongodb", **options) as mongodb, connected(mongodb) as database:
        assert database.name == mongodb.dbname == "shop"
        assert database.client.admin.command("getParameter", ttlMonitorSleepSecs=1)["ttlMonitorSleepSecs"] == "1"


def test_bad_options_fail_with_the_server_s_own_words() -> None:
    with pytest.raises(StartFailed, match="Unknown --setParameter 'noSuch'"):
        managed("mongodb", settings={"noSuch": 1}).__enter__()
    with pytest.raises(InvalidOption, match="cannot be changed"):
        managed("mongodb", settings={"enableLocalhostAuthBypass": False}).__enter__()


def fill(details: MongodbDetails) -> None:
    put(details, "colour", details.password)


def test_a_snapshot_is_opened_with_a_password_of_its_own() -> None:
    with managed("mongodb", setup=fill, snapshot="1") as first:
        assert get(first, "colour") == first.password
    with managed("mongodb", setup=fill, snapshot="1") as second:
        assert get(second, "colour") == first.password, "the set-up did not run again"
        assert second.password != first.password
        with pytest.raises(pymongo.errors.OperationFailure, match="Authentication failed"):
            get(second.model_copy(update={"password": first.password}), "colour")


def test_persistent_data_and_their_login_are_found_again(home: Path) -> None:
    with managed("mongodb", persist=True, scope="keeps", user="ada") as first:
        put(first, "colour", "green")
    with managed("mongodb", persist=True, scope="keeps") as second:
        assert get(second, "colour") == "green"
        assert (second.url, second.user) == (first.url, "ada")
    (found,) = persistent.scan()
    persistent.remove(found.path)


def test_a_namespace_left_by_the_dead_is_dropped() -> None:
    with managed("mongodb") as mongodb:
        killed.in_a_namespace(mongodb)
        (left,) = databases(mongodb)
        with isolated(mongodb) as mine:
            put(mine, "a", "b")
            assert databases(mongodb) == {mine.dbname} != {left}
        assert databases(mongodb) == set()


def test_details_in_the_forms_that_clients_expect() -> None:
    details = MongodbDetails(service="mongodb", name="m", host="h", port=27017, user="me", password="p@/s", dbname="x")
    assert details.url == "mongodb://me:p%40%2Fs@h:27017/x?authSource=admin"
    assert pymongo.uri_parser.parse_uri(details.url)["password"] == "p@/s"
    odd = details.model_copy(update={"auth_source": "a&b=c"}).url
    assert odd.endswith("?authSource=a%26b%3Dc")
    assert pymongo.uri_parser.parse_uri(odd)["options"]["authSource"] == "a&b=c"
    assert details.env().items() >= {"MONGODB_URI": details.url, "MONGODB_PASSWORD": "p@/s"}.items()
    assert "p@/s" not in repr(details)
    assert details.model_copy(update={"user": ""}).url == "mongodb://h:27017/x"


def test_without_its_program_the_error_says_where_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_MONGODB_BIN", str(tmp_path))
    with pytest.raises(BinaryNotFound, match="brew install mongodb/brew/mongodb-community"):
        managed("mongodb").__enter__()


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"a": 1, "b": -5, "c": "ä", "d": True, "e": b"\0\1", "f": {"g": [1, {"h": "i"}, []]}},
        {"payload": b"", "$db": "admin"},
    ],
)
def test_documents_are_written_as_others_read_them(document: dict[str, Any]) -> None:
    assert bson.decode(mongodb_wire.encode(document)) == document
    assert mongodb_wire.decode(bson.encode(document)) == document


def test_what_only_servers_send_is_read_too() -> None:
    raw = bson.encode(
        {"ok": 1.0, "none": None, "id": bson.ObjectId(), "big": 1 << 40, "at": bson.Timestamp(1, 2), "z": 1}
    )
    read = mongodb_wire.decode(raw)
    assert (read["ok"], read["big"], read["z"]) == (1.0, 1 << 40, 1)
    with pytest.raises(ValueError, match="kind 0xb"):
        mongodb_wire.decode(bson.encode({"pattern": bson.Regex("a")}))
