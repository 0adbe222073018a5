"""The table of services in the documentation is in step with the services."""

from tests.services import page, table


def test_the_table_is_what_the_code_says() -> None:
    assert page.page(page.measured()) == page.PAGE.read_text(encoding="utf-8"), "run python -m tests.services.page"


def test_every_service_that_runs_here_was_measured() -> None:
    assert set(page.measured()["services"]) == {row.service for row in table.ROWS}


def test_every_service_has_its_page() -> None:
    for name in page.service_names():
        assert (page.PAGE.parent / f"{name}.md").exists(), name
