"""Details of a command."""

from typing import Any, Self

from servicectx.services import urls
from servicectx.services.details import ServiceDetails, address, named
from servicectx.services.proxies import without_proxy


class CommandDetails(ServiceDetails):
    """A user's command: its address and its directory."""

    scheme: str = "tcp"
    directory: str | None = None
    pid: int | None = None

    @classmethod
    def from_url(cls, url: str, *, source: str | None = None, **given: Any) -> Self:
        """Details from a URL with any scheme, which becomes `scheme`."""
        scheme = url.strip().partition("://")[0].lower()
        known = {"scheme": scheme} if urls.URL.match(url.strip()) else {}
        return super().from_url(url, source=source, **(given | known))

    @property
    def url(self) -> str:
        """`http://host:port` when the option `ready` is an HTTP URL, else `tcp://host:port`."""
        return address(self.scheme, self.host, self.port)

    def env(self) -> dict[str, str]:
        """`<NAME>_URL`, `<NAME>_HOST` and `<NAME>_PORT`, from the name of the instance."""
        return named(self) | without_proxy(self.host)
