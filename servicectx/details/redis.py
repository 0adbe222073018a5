"""How to connect to Redis or Valkey."""

from servicectx.details.base import ServiceDetails, address


class RedisDetails(ServiceDetails):
    """A Redis or Valkey server: `password` and the logical database `db`."""

    password: str = ""
    db: int = 0
    version: str | None = None

    @property
    def url(self) -> str:
        """`redis://:password@host:port/db`."""
        return address("redis", self.host, self.port, str(self.db), None, self.password or None)

    def env(self) -> dict[str, str]:
        """`REDIS_URL`, `VALKEY_URL`, and what redis-cli and valkey-cli read."""
        names = {"REDIS_URL": self.url, "VALKEY_URL": self.url.replace("redis://", "valkey://", 1)}
        return names | ({"REDISCLI_AUTH": self.password, "VALKEYCLI_AUTH": self.password} if self.password else {})
