"""Connection details of Temporal."""

from typing import ClassVar

from servicectx.services import urls
from servicectx.services.details import ServiceDetails, place


class TemporalDetails(ServiceDetails):
    """A Temporal server: the `namespace`, and `ui_url`, the address of its web pages with the option `ui`."""

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
        """The variables of the program `temporal` and of the SDKs' environment configuration."""
        return {"TEMPORAL_ADDRESS": self.url, "TEMPORAL_NAMESPACE": self.namespace}
