"""How to connect to Temporal."""

from servicectx.details.base import ServiceDetails, place


class TemporalDetails(ServiceDetails):
    """A Temporal server: the `namespace` to work in, and where its web pages are, if they were asked for."""

    namespace: str = "default"
    ui_url: str | None = None
    version: str | None = None

    @property
    def url(self) -> str:
        """`host:port`: `temporalio.client.Client.connect(details.url, namespace=details.namespace)`."""
        return place(self.host, self.port)

    def env(self) -> dict[str, str]:
        """What the program temporal and the SDKs' environment configuration read."""
        return {"TEMPORAL_ADDRESS": self.url, "TEMPORAL_NAMESPACE": self.namespace}
