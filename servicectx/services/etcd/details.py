"""Connection details of etcd."""

from typing import ClassVar

from servicectx.services import urls
from servicectx.services.details import address, filled, place
from servicectx.services.login_details import LoginDetails
from servicectx.services.proxies import without_proxy


class EtcdDetails(LoginDetails):
    """An etcd server: `user` and `password`, empty without authentication. `prefix`: of the keys in a namespace."""

    foreign: ClassVar[tuple[str, ...]] = (
        "ETCDCTL_*",
        "ETCD_PREFIX",
    )
    url_form: ClassVar[urls.Form] = urls.Form(
        schemes={"http": {}, "etcd": {}},
        port=2379,
        user="user",
        password="password",  # noqa: S106  # the name of a field
        query={"prefix": "prefix"},
    )

    @property
    def url(self) -> str:
        """`http://host:port`, for gRPC and for the JSON gateway (`url + "/v3/..."`)."""
        return address("http", self.host, self.port)

    @property
    def endpoint(self) -> str:
        """`host:port`, the form that some clients need."""
        return place(self.host, self.port)

    def env(self) -> dict[str, str]:
        """The variables of etcdctl, and `ETCD_PREFIX`."""
        user = f"{self.user}:{self.password}" if self.user else ""
        names = {"ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": self.url, "ETCDCTL_USER": user, "ETCD_PREFIX": self.prefix}
        return filled(names) | without_proxy(self.host)
