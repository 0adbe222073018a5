"""Connection details of an ASGI or WSGI app."""

from typing import ClassVar, Literal

from servicectx.services import urls
from servicectx.services.details import ServiceDetails, address, named
from servicectx.services.proxies import without_proxy


class AppDetails(ServiceDetails):
    """An app that is served over HTTP."""

    url_form: ClassVar[urls.Form] = urls.Form(schemes={"http": {"scheme": "http"}, "https": {"scheme": "https"}})

    scheme: Literal["http", "https"] = "http"

    @property
    def url(self) -> str:
        """`http://host:port`, without a slash at the end."""
        return address(self.scheme, self.host, self.port)

    @property
    def ws_url(self) -> str:
        """`ws://host:port`, for WebSockets."""
        return address("wss" if self.scheme == "https" else "ws", self.host, self.port)

    @property
    def ws_base(self) -> str:
        """`ws_url`, under the name that managed-service-fixtures uses."""
        return self.ws_url

    def env(self) -> dict[str, str]:
        """`<NAME>_URL`, `<NAME>_HOST` and `<NAME>_PORT`, from the name that the app was given."""
        return named(self) | without_proxy(self.host)
