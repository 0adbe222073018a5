"""Helpers of the tests of Elasticsearch and of OpenSearch."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import elasticsearch
import opensearchpy
import pytest

from servicectx import isolated, managed
from servicectx.services import registry
from tests.services import killed, standins

INDEX = "kept"


@contextmanager
def connected(details: Any) -> Iterator[Any]:
    """The usual client, which gets only the URL."""
    kind = {"elasticsearch": elasticsearch.Elasticsearch, "opensearch": opensearchpy.OpenSearch}[details.service]
    client = kind(details.url)
    try:
        yield client
    finally:
        client.close()


def put(details: Any, name: str, value: str) -> None:
    with connected(details) as client:
        client.index(index=f"{details.prefix}{INDEX}", id=name, **_body(details, {"value": value}))


def get(details: Any, name: str) -> str | None:
    with connected(details) as client:
        try:
            found = client.get(index=f"{details.prefix}{INDEX}", id=name)
        except (elasticsearch.NotFoundError, opensearchpy.NotFoundError):
            return None
        return str(found["_source"]["value"])


def _body(details: Any, document: dict[str, str]) -> dict[str, Any]:
    return {"document": document} if details.service == "elasticsearch" else {"body": document}


def indices(details: Any) -> set[str]:
    with connected(details) as client:
        return {index["index"] for index in client.cat.indices(index="*", format="json")}


def unpack(name: str, tmp_path: Path, python: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a tree with a stand-in, and set `ES_HOME` or `OPENSEARCH_HOME` to it."""
    home = standins.unpack(tmp_path / name, name, python)
    service: Any = registry.find(name)
    monkeypatch.setenv(service.search.homes[0], str(home))
    return home


def files_of_plan(name: str, home: Path, **options: Any) -> dict[str, str]:
    service: Any = registry.find(name)
    checked = service.options(options)
    plan = service.plan(checked, service.program(checked), "s3cret")
    assert plan.command == [str(home / "bin" / name)]
    assert "s3cret" not in f"{plan.command} {plan.environment} {plan.files}"
    files: dict[str, str] = plan.files
    return files


def namespaces_are_swept(name: str) -> None:
    with managed(name) as details:
        killed.in_a_namespace(details)
        (left,) = indices(details)
        with isolated(details) as mine:
            put(mine, "a", "b")
            assert indices(details) == {f"{mine.prefix}{INDEX}"} != {left}
        assert indices(details) == set()
