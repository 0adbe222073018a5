"""Wrong arguments of the adapters. Each error names the correct call."""

from types import SimpleNamespace
from typing import Any

import pytest
from servicectx_behave import use_service
from servicectx_pytest import service_fixture

from servicectx import managed


@pytest.mark.parametrize("wrong", [managed, None, managed("redis")])
def test_something_else_than_a_service_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r'service_fixture\(\) takes the name .*: write service_fixture\("redis"\)'):
        service_fixture(wrong)
    context: Any = SimpleNamespace()
    with pytest.raises(TypeError, match=r'use_service\(\) takes the name .*: write use_service\(context, "redis"\)'):
        use_service(context, wrong)


@pytest.mark.parametrize("word", ["session", "package", "module", "class", "function"])
def test_a_scope_of_pytest_is_not_a_sharing_scope(word: str) -> None:
    with pytest.raises(ValueError, match=rf"'{word}' is a scope of pytest.*write fixture_scope='{word}'$"):
        service_fixture("redis", scope=word)


def test_a_sharing_scope_is_not_a_scope_of_pytest() -> None:
    with pytest.raises(ValueError, match=r"fixture_scope='project'.*'function', 'class'.*; .* write scope='project'$"):
        service_fixture("redis", fixture_scope="project")  # type: ignore[arg-type]
    assert service_fixture("redis", scope="project", fixture_scope="module")
