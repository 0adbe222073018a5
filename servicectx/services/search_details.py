"""Connection details of Elasticsearch and OpenSearch."""

from typing import ClassVar

from servicectx.services import urls
from servicectx.services.details import address, filled
from servicectx.services.login_details import LoginDetails
from servicectx.services.proxies import without_proxy


class SearchDetails(LoginDetails):
    """A search server. `prefix`, empty outside of a namespace, precedes the names of indices."""

    url_form: ClassVar[urls.Form] = urls.Form(
        schemes={"http": {"scheme": "http"}, "https": {"scheme": "https"}},
        user="user",
        password="password",  # noqa: S106  # the name of a field
        query={"prefix": "prefix"},
    )

    scheme: str = "http"

    @property
    def url(self) -> str:
        """`http://user:password@host:port`, as the usual clients accept it."""
        login = (self.user, self.password) if self.user else (None, None)
        return address(self.scheme, self.host, self.port, "", *login)

    @property
    def endpoint_url(self) -> str:
        """The URL without the login."""
        return address(self.scheme, self.host, self.port)

    def _env(self, name: str) -> dict[str, str]:
        fields = {"URL": self.url, "HOSTS": self.endpoint_url, "PREFIX": self.prefix}
        login = {"USERNAME": self.user, "PASSWORD": self.password} if self.user else {}
        names = filled({f"{name}_{suffix}": value for suffix, value in (fields | login).items()})
        return names | without_proxy(self.host)
