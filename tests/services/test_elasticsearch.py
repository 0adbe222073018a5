"""Elasticsearch: its plan and all operations, against a stand-in program."""

import shutil
from pathlib import Path

import elasticsearch
import pytest

from servicectx import BinaryNotFound, ElasticsearchDetails, InvalidOption, NotIsolable, StartFailed, isolated, managed
from servicectx.services import registry
from servicectx.testing import Usage, check_service
from tests.services import search_usage
from tests.services.row import ODD_PASSWORD, Row
from tests.services.search_usage import get, put

# No server of this kind runs where these tests run.
ROWS: list[Row] = []


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, reachable_python: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return search_usage.unpack("elasticsearch", tmp_path, reachable_python, monkeypatch)


@pytest.mark.timeout(240)
def test_it_keeps_its_promises() -> None:
    check_service("elasticsearch", usage=Usage(put, get), timeout=100)


def test_its_configuration_is_what_its_documentation_asks_for(tree: Path) -> None:
    files = search_usage.files_of_plan("elasticsearch", tree, heap="1g", settings={"a.b": ["c", 1, True]})
    assert files["users"].startswith("servicectx:{PBKDF2}1000$")
    assert files["users_roles"] == "superuser:servicectx\n"
    lines = files["elasticsearch.yml"].splitlines()
    for line in (
        *('network.host: "{host}"', 'http.port: "{port}"', 'transport.port: "{port_transport}"'),
        *('discovery.type: "single-node"', 'path.data: "{data}"', "xpack.security.enabled: true"),
        *("xpack.security.autoconfiguration.enabled: false", "ingest.geoip.downloader.enabled: false"),
        'a.b: ["c", 1, true]',
    ):
        assert line in lines


def test_java_gets_the_tree_s_options_but_for_those_that_write_into_it(tree: Path) -> None:
    assert search_usage.files_of_plan("elasticsearch", tree, heap="1g")["jvm.options"].splitlines() == [
        *("14-:-XX:+UseG1GC", "-Dneeded=true", "-Xms1g", "-Xmx1g"),
        *("-Djava.io.tmpdir={dir}", "-XX:-UsePerfData", "-XX:ErrorFile={dir}/hs_err_pid%p.log"),
    ]


def test_a_wrong_password_is_refused() -> None:
    with managed("elasticsearch") as search:
        assert search.version == "9.9.1"
        for changed in ({"password": "guess"}, {"user": "elastic"}, {"user": "", "password": ""}):
            bad = search.model_copy(update=changed)
            with pytest.raises(elasticsearch.AuthenticationException):
                get(bad, "a")
            with pytest.raises(NotIsolable, match="status 401"):
                isolated(bad).__enter__()


def test_a_chosen_login_is_the_only_one() -> None:
    with managed("elasticsearch", user="ada#{port}", password=ODD_PASSWORD) as search:
        assert (search.user, search.password) == ("ada#{port}", ODD_PASSWORD)
        put(search, "a", "1")
        assert get(search, "a") == "1"
        for changed in ({"password": "guess"}, {"user": "servicectx"}):
            with pytest.raises(elasticsearch.AuthenticationException):
                get(search.model_copy(update=changed), "a")


def test_without_a_login_every_client_may_write() -> None:
    with managed("elasticsearch", password=None) as search, isolated(search) as mine:
        assert search.url == f"http://127.0.0.1:{search.port}"
        put(mine, "a", "1")
        assert get(mine, "a") == "1"


@pytest.mark.parametrize("user", ["a:b", "a b", "ü", "a\nb", ""])
def test_a_user_that_its_file_cannot_hold_is_refused(user: str) -> None:
    with pytest.raises(InvalidOption, match="user"):
        managed("elasticsearch", user=user).__enter__()


def test_a_setting_that_locks_clients_out_is_refused() -> None:
    with pytest.raises(InvalidOption, match="set by servicectx"):
        managed("elasticsearch", settings={"xpack.security.http.ssl.enabled": True}).__enter__()


def test_bad_options_fail_with_the_server_s_own_words() -> None:
    with pytest.raises(StartFailed, match=r"unknown setting \[no\.such\]"):
        managed("elasticsearch", settings={"no.such": 1}).__enter__()
    with pytest.raises(StartFailed, match="Invalid maximum heap size: -Xms1much"):
        managed("elasticsearch", heap="1much").__enter__()
    with pytest.raises(InvalidOption, match="cannot be changed"):
        managed("elasticsearch", settings={"http.port": 9200}).__enter__()


def test_a_namespace_left_by_the_dead_is_removed() -> None:
    search_usage.namespaces_are_swept("elasticsearch")


def test_details_in_the_forms_that_clients_expect() -> None:
    plain = ElasticsearchDetails(service="elasticsearch", name="e", host="h", port=9200)
    assert (plain.url, plain.env()["ELASTICSEARCH_URL"]) == ("http://h:9200", "http://h:9200")
    details = plain.model_copy(update={"scheme": "https", "user": "me", "password": "p@/s"})
    assert details.url == "https://me:p%40%2Fs@h:9200"
    assert details.env() == {
        "ELASTICSEARCH_URL": details.url,
        "ELASTICSEARCH_HOSTS": "https://h:9200",
        "ELASTICSEARCH_USERNAME": "me",
        "ELASTICSEARCH_PASSWORD": "p@/s",
    }
    mine = details.model_copy(update={"prefix": "mine-"})
    assert mine.env() == details.env() | {"ELASTICSEARCH_PREFIX": "mine-"}
    assert "p@/s" not in repr(details)


def test_a_tree_that_insists_on_its_own_configuration_is_not_taken(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    insists = tree.with_name("insists")
    shutil.copytree(tree, insists)
    (insists / "bin/elasticsearch-env").write_text("source /etc/default/elasticsearch\n")
    monkeypatch.setenv("PATH", str(insists / "bin"))
    service = registry.find("elasticsearch")
    assert service.program(service.options({})) == str(tree / "bin/elasticsearch")
    monkeypatch.setenv("ES_HOME", str(insists))
    with pytest.raises(BinaryNotFound, match="insists on the configuration of its system package"):
        managed("elasticsearch").__enter__()


def test_without_its_program_the_error_says_where_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_ELASTICSEARCH_BIN", str(tmp_path))
    with pytest.raises(BinaryNotFound, match=r"brew: not in Homebrew, .*set ES_HOME"):
        managed("elasticsearch").__enter__()
