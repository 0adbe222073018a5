"""Other words for services."""

ALIASES = {"aws": "moto", "mysql": "mariadb", "postgresql": "postgres", "valkey": "redis"}


def words(service: str) -> list[str]:
    """What people call a service: its name first."""
    return [service, *(alias for alias, meant in ALIASES.items() if meant == service)]
