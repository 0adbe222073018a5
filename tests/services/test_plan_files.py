"""The files of a plan are always inside the directory of its instance."""

import os
from pathlib import Path

import pytest

from servicectx import Plan, StartFailed, managed
from servicectx.services import plan
from servicectx.services.base import Template
from servicectx.testing import FakeService
from servicectx.testing.fake import FakeOptions

OUTSIDE = ["../x", "/x", "", "a/../../x", "a/../x", "./x", "a//x", "a/", "..", ".", "x\0", "{dir}/x", "{data}/x"]


class WithFiles(FakeService):
    files: dict[str, str] = {}

    def plan(self, options: FakeOptions, program: str, secret: str) -> Plan:
        made = super().plan(options, program, secret)
        return made._replace(files={**made.files, **self.files})


def service(**files: str) -> FakeService:
    class Made(WithFiles):
        pass

    Made.files = files
    return Made()


@pytest.mark.parametrize("name", [*OUTSIDE, "data"])
def test_a_name_that_leads_out_is_refused_before_anything_is_written(name: str, home: Path) -> None:
    with pytest.raises(StartFailed) as caught, managed(service(**{"fine": "", name: "text"})):
        pass
    assert f"the file {name!r} of its plan cannot be written" in caught.value.reason
    written = [path for path in [*home.rglob("*"), Path("/x")] if path.name in ("x", "fine")]
    assert [path for path in written if os.path.lexists(path)] == []


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_template_s_files_are_examined_likewise(name: str) -> None:
    made = Plan(service="s", command=[], environment={}, ready={}, template=Template("k", [], {name: ""}))
    assert "of its plan cannot be written" in (plan.refused_file(made) or "")
    assert plan.refused_file(made._replace(template=None)) is None


def test_nested_files_are_written(home: Path) -> None:
    with managed(service(**{"conf/deeper/x.conf": "port {port}", "conf/y.conf": "", "..x": ""})) as fake:
        (file,) = home.rglob("x.conf")
        assert file.read_text() == f"port {fake.port}"
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o700
        assert file.parents[2] == next(iter(home.rglob("..x"))).parent
        assert not os.path.lexists(file.parents[3] / "new")
    assert not file.exists()


def test_a_file_where_a_directory_is_needed_is_named() -> None:
    with (
        pytest.raises(StartFailed, match=r"'conf/x' of its plan cannot be written"),
        managed(service(**{"conf": "", "conf/x": ""})),
    ):
        pass
