"""Elasticsearch: an unpacked archive, run with a configuration directory of the instance."""

import base64
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from servicectx.services import binaries, login_checks, reasons
from servicectx.services.plan import literal
from servicectx.services.search_server import SearchOptions, SearchServer

if TYPE_CHECKING:
    from servicectx.services.elasticsearch.details import ElasticsearchDetails  # noqa: F401  # a type parameter


class Elasticsearch(SearchServer["ElasticsearchDetails"]):
    """A server with access control: one user, in a file, by default with a random password."""

    name: ClassVar[str] = "elasticsearch"
    variables: ClassVar[str] = "ES"
    Details: ClassVar[Any] = "servicectx.services.elasticsearch.details:ElasticsearchDetails"
    not_possible: ClassVar[Mapping[str, str]] = {
        "dbname": "it has indices instead of databases",
        "socket": reasons.CLIENTS_USE_PORTS,
        "flavour": "OpenSearch is a service of its own: opensearch",
    }
    install: ClassVar[dict[str, str]] = {
        "pip": "not on PyPI; unpack https://www.elastic.co/downloads/elasticsearch, and set ES_HOME",
        "apt": "not as a package, which requires /etc/elasticsearch; unpack the archive, and set ES_HOME",
        "brew": "not in Homebrew, except an old 7.17; unpack the archive, and set ES_HOME",
    }
    images: ClassVar[dict[str, str]] = {"": "docker.io/library/elasticsearch:{version}"}
    requirements: ClassVar[tuple[str, ...]] = ("elasticsearch>=9",)
    search: ClassVar[binaries.Search] = binaries.Search(
        service="elasticsearch",
        programs=("elasticsearch",),
        homes=("ES_HOME",),
        trees=("/usr/share/elasticsearch/bin", "/opt/elasticsearch*/bin", "/usr/local/elasticsearch*/bin"),
        formulas=("elasticsearch-full", "elasticsearch"),
        install=tuple(install.items()),
    )

    def lines(self, home: Path, protected: bool) -> dict[str, Any]:
        return {
            "xpack.security.enabled": protected,
            "xpack.security.autoconfiguration.enabled": False,  # otherwise the server generates certificates
            "xpack.security.http.ssl.enabled": False,
            "xpack.security.transport.ssl.enabled": False,
            "xpack.ml.enabled": False,
            "ingest.geoip.downloader.enabled": False,  # otherwise the server downloads a database
        }

    def users(self, user: str, password: str) -> dict[str, str]:
        name = literal(user)
        salt = os.urandom(32)
        hashed = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 1000, 32)
        encoded = [base64.b64encode(part).decode() for part in (salt, hashed)]
        return {"users": f"{name}:{{PBKDF2}}1000${encoded[0]}${encoded[1]}\n", "users_roles": f"superuser:{name}\n"}

    def details(self, options: SearchOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        user, password = self.given_login(options, secret)
        login = {"user": user, "password": password} if password else {}
        return {**login, "version": facts.get("version")}

    def given_login(self, options: SearchOptions, secret: str) -> tuple[str, str | None]:
        """Names of users in files have these characters: the reference of `elasticsearch-users`."""
        if options.user and not re.fullmatch(r"[!-~]+", options.user):
            raise login_checks.refused(self, "user", "Elasticsearch's users have ASCII characters without blanks")
        return super().given_login(options, secret)
