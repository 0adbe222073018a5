"""OpenSearch: an unpacked archive, run with a configuration directory of the instance."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from servicectx.services import binaries, login_checks, reasons
from servicectx.services.login import RANDOM
from servicectx.services.search_server import USER, SearchOptions, SearchServer

if TYPE_CHECKING:
    from servicectx.services.opensearch.details import OpensearchDetails  # noqa: F401  # a type parameter

NO_LOGIN = "OpenSearch has logins only together with TLS certificates, which servicectx does not make"


class Opensearch(SearchServer["OpensearchDetails"]):
    """A server on loopback without access control, which would need certificates. Every local account can use it."""

    name: ClassVar[str] = "opensearch"
    variables: ClassVar[str] = "OPENSEARCH"
    Details: ClassVar[Any] = "servicectx.services.opensearch.details:OpensearchDetails"
    not_possible: ClassVar[Mapping[str, str]] = {
        "user": NO_LOGIN,
        "password": NO_LOGIN,
        "dbname": "it has indices instead of databases",
        "socket": reasons.CLIENTS_USE_PORTS,
        "flavour": "Elasticsearch is a service of its own: elasticsearch",
    }
    install: ClassVar[dict[str, str]] = {
        "pip": "not on PyPI; unpack https://opensearch.org/downloads.html, and set OPENSEARCH_HOME",
        "apt": "not as a package, which requires /etc/opensearch; unpack the archive, and set OPENSEARCH_HOME",
        "brew": "brew install opensearch",
    }
    images: ClassVar[dict[str, str]] = {"": "docker.io/opensearchproject/opensearch:{version}"}
    requirements: ClassVar[tuple[str, ...]] = ("opensearch-py>=3.2",)
    search: ClassVar[binaries.Search] = binaries.Search(
        service="opensearch",
        programs=("opensearch",),
        homes=("OPENSEARCH_HOME",),
        trees=("/usr/share/opensearch/bin", "/opt/opensearch*/bin", "/usr/local/opensearch*/bin"),
        formulas=("opensearch",),
        install=tuple(install.items()),
    )

    def lines(self, home: Path, protected: bool) -> dict[str, Any]:
        """Disable the security plug-in. A server without this plug-in rejects the setting."""
        return {"plugins.security.disabled": True} if (home / "plugins/opensearch-security").exists() else {}

    def given_login(self, options: SearchOptions, secret: str) -> tuple[str, str | None]:
        """No login: a chosen one is an error."""
        if (options.user, options.password or RANDOM) != (USER, RANDOM):
            option = "user" if options.user != USER else "password"
            raise login_checks.refused(self, option, NO_LOGIN)
        return USER, None

    def details(self, options: SearchOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        return {"version": facts.get("version")}
