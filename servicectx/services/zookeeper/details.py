"""How to connect to ZooKeeper."""

from typing import Any, ClassVar

from servicectx.services import urls
from servicectx.services.details import ServiceDetails, address


class ZookeeperDetails(ServiceDetails):
    """A ZooKeeper server. In a namespace, `prefix` is the path that everything is below."""

    url_form: ClassVar[urls.Form] = urls.Form(schemes={"zookeeper": {}, "zk": {}}, port=2181, path="prefix")

    prefix: str = ""
    version: str | None = None

    @classmethod
    def url_fields(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """The prefix is a path, with its slash."""
        return super().url_fields(fields | ({"prefix": f"/{fields['prefix']}"} if "prefix" in fields else {}))

    @property
    def url(self) -> str:
        """`zookeeper://host:port/path`."""
        return address("zookeeper", self.host, self.port) + self.prefix

    @property
    def hosts(self) -> str:
        """`host:port/path`, as kazoo and Java clients take it: all their paths are then below the prefix."""
        return self.url.removeprefix("zookeeper://")

    def env(self) -> dict[str, str]:
        """`ZOOKEEPER_HOSTS` and `ZK_HOSTS`: no tool has a variable of its own."""
        return {"ZOOKEEPER_HOSTS": self.hosts, "ZK_HOSTS": self.hosts}
