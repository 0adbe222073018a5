"""How to connect to etcd."""

from servicectx.details.base import ServiceDetails, address


class EtcdDetails(ServiceDetails):
    """An etcd server: `user` and `password`, empty where it asks for none. In a namespace `prefix` goes before keys."""

    user: str = ""
    password: str = ""
    prefix: str = ""
    version: str | None = None

    @property
    def url(self) -> str:
        """`http://host:port`: for gRPC and for the JSON gateway, `url + "/v3/..."`."""
        return address("http", self.host, self.port)

    @property
    def endpoint(self) -> str:
        """`host:port`, as some clients want it."""
        return self.url.removeprefix("http://")

    def env(self) -> dict[str, str]:
        """What etcdctl reads, and `ETCD_PREFIX`."""
        names = {"ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": self.url}
        if self.user:
            names["ETCDCTL_USER"] = f"{self.user}:{self.password}"
        return names | ({"ETCD_PREFIX": self.prefix} if self.prefix else {})
