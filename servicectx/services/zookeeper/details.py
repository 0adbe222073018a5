"""Connection details of ZooKeeper."""

from typing import Any, ClassVar

from servicectx.services import urls
from servicectx.services.details import ServiceDetails, address


class ZookeeperDetails(ServiceDetails):
    """A ZooKeeper server. `prefix`: the path above all nodes of a namespace."""

    url_form: ClassVar[urls.Form] = urls.Form(schemes={"zookeeper": {}, "zk": {}}, port=2181, path="prefix")

    prefix: str = ""
    version: str | None = None

    @classmethod
    def url_fields(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Give the prefix its leading slash."""
        return super().url_fields(fields | ({"prefix": f"/{fields['prefix']}"} if "prefix" in fields else {}))

    @property
    def url(self) -> str:
        """`zookeeper://host:port/path`."""
        return address("zookeeper", self.host, self.port) + self.prefix

    @property
    def hosts(self) -> str:
        """`host:port/path`, for kazoo and Java clients. Their paths are then relative to the prefix."""
        return self.url.removeprefix("zookeeper://")

    def env(self) -> dict[str, str]:
        """`ZOOKEEPER_HOSTS` and `ZK_HOSTS`. No tool defines a standard variable."""
        return {"ZOOKEEPER_HOSTS": self.hosts, "ZK_HOSTS": self.hosts}
