"""Aliases of service names."""

ALIASES = {"aws": "moto", "mysql": "mariadb", "postgresql": "postgres", "valkey": "redis"}


def words(service: str) -> list[str]:
    """The names that a service accepts: its own name, then its aliases."""
    return [service, *(alias for alias, name in ALIASES.items() if name == service)]
