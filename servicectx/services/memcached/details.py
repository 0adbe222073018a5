"""Connection details of memcached."""

from typing import ClassVar

from servicectx.services import urls
from servicectx.services.details import ServiceDetails, address, filled, place


class MemcachedDetails(ServiceDetails):
    """A memcached server. `prefix`: of every key in a namespace. `socket`: the path of its Unix socket, or "".

    A server with a Unix socket has no port: `port` is 0.
    """

    foreign: ClassVar[tuple[str, ...]] = ("MEMCACHED_PREFIX", "MEMCACHED_HOST", "MEMCACHED_PORT")
    url_form: ClassVar[urls.Form] = urls.Form(
        schemes={"memcached": {}, "memcache": {}}, port=11211, query={"prefix": "prefix"}
    )

    prefix: str = ""
    socket: str = ""
    version: str | None = None

    @property
    def url(self) -> str:
        """`memcached://host:port`; `unix:/path` for a Unix socket, as for Django and pymemcache."""
        return f"unix:{self.socket}" if self.socket else address("memcached", self.host, self.port)

    @property
    def server(self) -> str:
        """`host:port`, the form that most clients take; for a Unix socket, its path."""
        return self.socket or place(self.host, self.port)

    def env(self) -> dict[str, str]:
        """`MEMCACHED_SERVERS`, which libmemcached reads, `MEMCACHE_SERVERS`, `MEMCACHED_URL`, its parts
        `MEMCACHED_HOST` and `MEMCACHED_PORT`, and `MEMCACHED_PREFIX`.
        """
        servers = {"MEMCACHED_SERVERS": self.server, "MEMCACHE_SERVERS": self.server}
        servers |= {"MEMCACHED_HOST": self.host, "MEMCACHED_PORT": str(self.port)} if self.port else {}
        return filled(servers | {"MEMCACHED_URL": self.url, "MEMCACHED_PREFIX": self.prefix})
