"""How to connect to NATS."""

from servicectx.details.base import address, filled
from servicectx.details.login import LoginDetails


class NatsDetails(LoginDetails):
    """A NATS server with JetStream: `user` and `password`. In a namespace `prefix` goes before every subject."""

    @property
    def url(self) -> str:
        """`nats://user:password@host:port`."""
        return address("nats", self.host, self.port, "", self.user or None, self.password or None)

    @property
    def stream_prefix(self) -> str:
        """`prefix` in the form that names of streams, buckets and consumers allow: without a dot."""
        return self.prefix.replace(".", "_")

    def env(self) -> dict[str, str]:
        """`NATS_URL`, `NATS_USER` and `NATS_PASSWORD`, which the `nats` command reads, and `NATS_PREFIX`."""
        names = {"NATS_URL": self.url, "NATS_USER": self.user, "NATS_PASSWORD": self.password}
        return filled(names | {"NATS_PREFIX": self.prefix})
