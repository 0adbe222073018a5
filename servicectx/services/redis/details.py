"""Connection details of Redis or Valkey."""

from typing import Any, ClassVar
from urllib.parse import quote

from servicectx.services import urls
from servicectx.services.details import ServiceDetails, address, filled, unknown_driver

DEFAULT_USER = (("user", "default"), ("user", None))


class RedisDetails(ServiceDetails):
    """A Redis or Valkey server: `user` ("" for the user `default`), `password`, the logical database `db`, and the path
    of its Unix `socket` or "".
    """

    foreign: ClassVar[tuple[str, ...]] = (
        "REDIS_USERNAME",
        "REDIS_PASSWORD",
        "REDISCLI_AUTH",
        "VALKEYCLI_AUTH",
        "IREDIS_URL",
        "IREDIS_DSN",
    )
    url_form: ClassVar[urls.Form] = urls.Form(
        schemes={"redis": {}, "valkey": {}},
        port=6379,
        user="user",
        password="password",  # noqa: S106  # the name of a field
        path="db",
        query={"db": "db", "password": "password"},
    )

    user: str = ""
    password: str = ""
    db: int = 0
    socket: str = ""
    version: str | None = None

    @classmethod
    def url_fields(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """The user `default` is the one of a login without a user."""
        return super().url_fields({name: value for name, value in fields.items() if (name, value) not in DEFAULT_USER})

    @property
    def url(self) -> str:
        """`redis://user:password@host:port/db`; with a Unix socket `unix://user:password@/path?db=0`."""
        if self.socket:
            login = ":".join(quote(text, safe="") for text in (self.user, self.password)) + "@"
            return f"unix://{login if self.password else ''}{quote(self.socket)}?db={self.db}"
        return address("redis", self.host, self.port, str(self.db), self.user or None, self.password or None)

    def url_for(self, driver: str) -> str:
        """A URL for one driver.

        Args:
            driver: "redis" (redis-py, also for asyncio) gives `url`; "celery" and "kombu" always get the port; "valkey"
                (valkey-py) has a scheme of its own.

        Raises:
            ValueError: no URL is known for this driver.
        """
        if driver == "valkey":
            return self.url.replace("redis://", "valkey://", 1)
        if driver in ("celery", "kombu"):
            return self.model_copy(update={"socket": ""}).url
        if driver == "redis":
            return self.url
        raise unknown_driver(driver, ("redis", "valkey", "celery", "kombu"))

    def env(self) -> dict[str, str]:
        """`REDIS_URL` and its parts (`REDIS_HOST` ...), `VALKEY_URL`, and the variables of redis-cli and valkey-cli."""
        names = {
            "REDIS_URL": self.url,
            "VALKEY_URL": self.url_for("valkey"),
            "REDIS_HOST": self.host,
            "REDIS_PORT": str(self.port),
            "REDIS_DB": str(self.db),
            "REDIS_USERNAME": self.user,
            "REDIS_PASSWORD": self.password,
            "REDISCLI_AUTH": self.password,
            "VALKEYCLI_AUTH": self.password,
        }
        return filled(names)
