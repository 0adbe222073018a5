"""Aliases of service names, and names of products that a service replaces."""

ALIASES = {"aws": "moto", "mysql": "mariadb", "postgresql": "postgres", "valkey": "redis"}

# Products without a service of their own, and the service to use instead.
REPLACED_BY = {
    "minio": "s3",
    "localstack": "moto",
    "rustfs": "s3",
    "keydb": "redis",
    "mailpit": "smtp",
    "redpanda": "kafka",
}


def words(service: str) -> list[str]:
    """The names that a service accepts: its own name, then its aliases."""
    return [service, *(alias for alias, name in ALIASES.items() if name == service)]
