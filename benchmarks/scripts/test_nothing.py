"""A run without services."""


def test_nothing() -> None:
    assert True
