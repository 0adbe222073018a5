"""Connection details of Elasticsearch."""

from typing import ClassVar

from servicectx.services.search_details import SearchDetails


class ElasticsearchDetails(SearchDetails):
    """An Elasticsearch server."""

    foreign: ClassVar[tuple[str, ...]] = ("ELASTICSEARCH_USERNAME", "ELASTICSEARCH_PASSWORD", "ELASTICSEARCH_PREFIX")

    def env(self) -> dict[str, str]:
        """`ELASTICSEARCH_URL` for clients; the host, user and password for Kibana; `ELASTICSEARCH_PREFIX`."""
        return self._env("ELASTICSEARCH")
