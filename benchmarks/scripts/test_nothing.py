"""A run that uses no service."""


def test_nothing() -> None:
    assert True
