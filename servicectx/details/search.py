"""How to connect to Elasticsearch and OpenSearch."""

from servicectx.details.base import address, filled
from servicectx.details.login import LoginDetails


class SearchDetails(LoginDetails):
    """A search server. `prefix`, empty but in a namespace, is put before the names of indices."""

    scheme: str = "http"

    @property
    def url(self) -> str:
        """`http://user:password@host:port`, as the usual clients take it."""
        login = (self.user, self.password) if self.user else (None, None)
        return address(self.scheme, self.host, self.port, "", *login)

    @property
    def endpoint_url(self) -> str:
        """The same without the login."""
        return address(self.scheme, self.host, self.port)

    def _env(self, name: str) -> dict[str, str]:
        told = {"URL": self.url, "HOSTS": self.endpoint_url, "PREFIX": self.prefix}
        login = {"USERNAME": self.user, "PASSWORD": self.password} if self.user else {}
        return filled({f"{name}_{what}": value for what, value in (told | login).items()})


class ElasticsearchDetails(SearchDetails):
    """An Elasticsearch server."""

    def env(self) -> dict[str, str]:
        """`ELASTICSEARCH_URL` for clients; the host, user and password for Kibana; and `ELASTICSEARCH_PREFIX`."""
        return self._env("ELASTICSEARCH")


class OpensearchDetails(SearchDetails):
    """An OpenSearch server."""

    def env(self) -> dict[str, str]:
        """`OPENSEARCH_URL` for clients; the host, user and password for Dashboards; and `OPENSEARCH_PREFIX`."""
        return self._env("OPENSEARCH")
