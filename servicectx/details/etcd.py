"""How to connect to etcd."""

from servicectx.details.base import address, filled, place
from servicectx.details.login import LoginDetails


class EtcdDetails(LoginDetails):
    """An etcd server: `user` and `password`, empty where it asks for none. In a namespace `prefix` goes before keys."""

    @property
    def url(self) -> str:
        """`http://host:port`: for gRPC and for the JSON gateway, `url + "/v3/..."`."""
        return address("http", self.host, self.port)

    @property
    def endpoint(self) -> str:
        """`host:port`, as some clients want it."""
        return place(self.host, self.port)

    def env(self) -> dict[str, str]:
        """What etcdctl reads, and `ETCD_PREFIX`."""
        user = f"{self.user}:{self.password}" if self.user else ""
        names = {"ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": self.url, "ETCDCTL_USER": user, "ETCD_PREFIX": self.prefix}
        return filled(names)
