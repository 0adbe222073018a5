"""Connection details of OpenSearch."""

from typing import ClassVar

from servicectx.services.search_details import SearchDetails


class OpensearchDetails(SearchDetails):
    """An OpenSearch server."""

    foreign: ClassVar[tuple[str, ...]] = ("OPENSEARCH_USERNAME", "OPENSEARCH_PASSWORD", "OPENSEARCH_PREFIX")

    def env(self) -> dict[str, str]:
        """`OPENSEARCH_URL` for clients; the host, user and password for Dashboards; `OPENSEARCH_PREFIX`."""
        return self._env("OPENSEARCH")
