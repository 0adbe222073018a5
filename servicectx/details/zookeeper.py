"""How to connect to ZooKeeper."""

from servicectx.details.base import ServiceDetails, address


class ZookeeperDetails(ServiceDetails):
    """A ZooKeeper server. In a namespace, `prefix` is the path that everything is below."""

    prefix: str = ""
    version: str | None = None

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
