"""The launcher of servers that are Python packages: where it stores compiled modules."""

from pathlib import Path
from typing import Any

import pytest

from servicectx import managed

APPS = pytest.mark.parametrize(
    ("service", "options"), [("asgi", {}), ("wsgi", {"server": "gunicorn"}), ("wsgi", {"server": "waitress"})]
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with an app of two modules that requires a package installed elsewhere."""
    project, installed = tmp_path / "project", tmp_path / "site-packages"
    (project / "shop").mkdir(parents=True)
    (project / "shop/__init__.py").write_text("import needed\nfrom tests.services.sample_apps import asgi, wsgi\n")
    (project / "main.py").write_text("from shop import asgi, wsgi\n")
    installed.mkdir()
    (installed / "needed.py").touch()
    monkeypatch.chdir(project)
    for folder in (installed, project):
        monkeypatch.syspath_prepend(folder)
    for variable in ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"):
        monkeypatch.delenv(variable, raising=False)
    return project


def compiled(folder: Path) -> list[str]:
    return sorted(path.name.partition(".")[0] for path in folder.rglob("*.pyc"))


@APPS
def test_nothing_is_written_into_the_project(service: str, options: Any, project: Path) -> None:
    before = sorted(project.rglob("*"))
    with managed(service, app=f"main:{service}", **options):
        assert sorted(project.rglob("*")) == before
    assert sorted(project.rglob("*")) == before
    assert compiled(project.parent / "site-packages") == ["needed"]  # the next start is to be fast


@APPS
def test_modules_go_where_the_user_wants_all_of_them(
    service: str, options: Any, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "kept"))
    with managed(service, app=f"main:{service}", **options):
        pass
    assert {"main", "needed"} <= set(compiled(tmp_path / "kept"))
    assert not compiled(project)
