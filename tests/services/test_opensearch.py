"""OpenSearch: its differences from Elasticsearch, against a stand-in program."""

from pathlib import Path
from typing import Any

import pytest

from servicectx import BinaryNotFound, InvalidOption, OpensearchDetails, managed
from servicectx.testing import Usage, check_service
from tests.services import search_usage
from tests.services.row import Row
from tests.services.search_usage import get, put

# No server of this kind runs where these tests run.
ROWS: list[Row] = []


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, reachable_python: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return search_usage.unpack("opensearch", tmp_path, reachable_python, monkeypatch)


@pytest.mark.timeout(240)
def test_it_keeps_its_promises() -> None:
    check_service("opensearch", usage=Usage(put, get), timeout=100)


def test_access_control_is_switched_off_where_it_is(tree: Path) -> None:
    assert "plugins.security" not in search_usage.files_of_plan("opensearch", tree)["opensearch.yml"]
    (tree / "plugins/opensearch-security").mkdir(parents=True)
    files = search_usage.files_of_plan("opensearch", tree)
    assert "plugins.security.disabled: true" in files["opensearch.yml"].splitlines()
    assert set(files) == {"opensearch.yml", "jvm.options", "log4j2.properties"}
    with managed("opensearch") as search:
        put(search, "a", "b")


def test_a_login_is_refused_with_the_reason() -> None:
    logins: list[dict[str, Any]] = [{"password": "guess"}, {"user": "ada"}]
    for login in logins:
        with pytest.raises(InvalidOption, match="only together with TLS certificates"):
            managed("opensearch", **login).__enter__()
    with managed("opensearch", password=None) as search:
        assert (search.user, search.password) == ("", "")
    with pytest.raises(InvalidOption, match="set by servicectx"):
        managed("opensearch", settings={"plugins.security.ssl.http.enabled": True}).__enter__()


def test_a_namespace_left_by_the_dead_is_removed() -> None:
    search_usage.namespaces_are_swept("opensearch")


def test_details_in_the_forms_that_clients_expect() -> None:
    details = OpensearchDetails(service="opensearch", name="o", host="h", port=9200, user="admin", password="p@/s")
    assert details.env() == {
        "OPENSEARCH_URL": "http://admin:p%40%2Fs@h:9200",
        "OPENSEARCH_HOSTS": "http://h:9200",
        "OPENSEARCH_USERNAME": "admin",
        "OPENSEARCH_PASSWORD": "p@/s",
    }
    mine = details.model_copy(update={"prefix": "mine-"})
    assert mine.env() == details.env() | {"OPENSEARCH_PREFIX": "mine-"}


def test_without_its_program_the_error_says_where_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICECTX_OPENSEARCH_BIN", str(tmp_path))
    with pytest.raises(BinaryNotFound, match="brew install opensearch"):
        managed("opensearch").__enter__()
