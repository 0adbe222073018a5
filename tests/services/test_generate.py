"""The parts that follow from the list of services are up to date."""

import pytest

from tests.services import generate


@pytest.mark.parametrize("file", generate.PARTS)
def test_generated_parts_are_up_to_date(file: str) -> None:
    assert generate.generated(file) == (generate.ROOT / file).read_text(encoding="utf-8"), f"run {generate.COMMAND}"
