"""How to connect to Temporal."""

from typing import ClassVar

from servicectx.services import urls
from servicectx.services.details import ServiceDetails, place


class TemporalDetails(ServiceDetails):
    """A Temporal server: the `namespace` to work in, and where its web pages are, if they were asked for."""

    foreign: ClassVar[tuple[str, ...]] = (
        "TEMPORAL_API_KEY",
        "TEMPORAL_TLS",
        "TEMPORAL_TLS_*",
        "TEMPORAL_PROFILE",
        "TEMPORAL_CONFIG_FILE",
        "TEMPORAL_ENV",
        "TEMPORAL_ENV_FILE",
        "TEMPORAL_CODEC_ENDPOINT",
        "TEMPORAL_CODEC_AUTH",
        "TEMPORAL_CLOUD_*",
        "TEMPORAL_GRPC_META_*",
        "TEMPORAL_DISABLE_CONFIG_FILE",
        "TEMPORAL_CLI_ADDRESS",
        "TEMPORAL_CLI_NAMESPACE",
    )
    url_form: ClassVar[urls.Form] = urls.Form(
        schemes={"temporal": {}, "grpc": {}}, port=7233, query={"namespace": "namespace"}
    )

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
