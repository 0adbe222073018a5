"""A join that fails leaves no lease, and an error of the service itself stays what it is."""

from pathlib import Path
from typing import Any

import pytest
from pyfakefs.fake_filesystem_unittest import Patcher

from servicectx import StartTimeout, managed
from servicectx.client import join
from servicectx.testing import FakeService
from tests import leftovers


@pytest.mark.parametrize("fake_files", [False, True], ids=["real files", "pyfakefs"])
def test_a_failed_join_releases_its_lease(home: Path, monkeypatch: pytest.MonkeyPatch, fake_files: bool) -> None:
    def fail(*_: Any) -> bool:
        raise StartTimeout(service="fake", name="fake", timeout=1.0, waited=1.0, waiting_for="an answer")

    other = managed(FakeService)
    with other:
        joining = managed(FakeService)
        patcher = Patcher()
        if fake_files:
            patcher.setUp()
        try:
            with monkeypatch.context() as patch:
                patch.setattr(join, "_answers", fail)
                with pytest.raises(StartTimeout):
                    joining.__enter__()
        finally:
            if fake_files:
                patcher.tearDown()
    assert not leftovers.files(home)
    assert not leftovers.processes(home)


def test_an_error_of_the_service_is_raised_as_it_is() -> None:
    class Refusing(FakeService):
        name = "refusing"

        def program(self, options: Any) -> str:
            raise PermissionError(13, "Permission denied", "/opt/server/bin/server")

    with pytest.raises(PermissionError, match="/opt/server/bin/server"):
        managed(Refusing).__enter__()
