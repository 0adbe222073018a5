"""How to connect to Elasticsearch and OpenSearch."""

from servicectx.details.base import address
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


class ElasticsearchDetails(SearchDetails):
    """An Elasticsearch server."""

    def env(self) -> dict[str, str]:
        """`ELASTICSEARCH_URL` for clients; the host, user and password for Kibana."""
        login = {"ELASTICSEARCH_USERNAME": self.user, "ELASTICSEARCH_PASSWORD": self.password} if self.user else {}
        return {"ELASTICSEARCH_URL": self.url, "ELASTICSEARCH_HOSTS": self.endpoint_url, **login}


class OpensearchDetails(SearchDetails):
    """An OpenSearch server."""

    def env(self) -> dict[str, str]:
        """`OPENSEARCH_URL` for clients; the host, user and password for OpenSearch Dashboards."""
        login = {"OPENSEARCH_USERNAME": self.user, "OPENSEARCH_PASSWORD": self.password} if self.user else {}
        return {"OPENSEARCH_URL": self.url, "OPENSEARCH_HOSTS": self.endpoint_url, **login}
