"""Connection details of NATS."""

from typing import Any, ClassVar

from servicectx.services import urls
from servicectx.services.details import address, filled
from servicectx.services.login_details import LoginDetails


class NatsDetails(LoginDetails):
    """A NATS server with JetStream: `user` and `password`. `prefix`: of every subject in a namespace."""

    foreign: ClassVar[tuple[str, ...]] = (
        "NATS_CONTEXT",
        "NATS_USER",
        "NATS_PASSWORD",
        "NATS_TOKEN",
        "NATS_CREDS",
        "NATS_NKEY",
        "NATS_JWT",
        "NATS_SEED",
        "NATS_CERT",
        "NATS_KEY",
        "NATS_CA",
        "NATS_TLSFIRST",
        "NATS_SOCKS_PROXY",
        "NATS_INBOX_PREFIX",
        "NATS_DOMAIN",
        "NATS_JS_API_PREFIX",
        "NATS_JS_EVENT_PREFIX",
        "NATS_JS_DOMAIN",
        "NATS_PREFIX",
    )
    url_form: ClassVar[urls.Form] = urls.Form(
        schemes={"nats": {}},
        port=4222,
        user="user",
        password="password",  # noqa: S106  # the name of a field
        query={"prefix": "prefix"},
    )

    @classmethod
    def url_fields(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Reject a URL with a token, a text without a colon before the `@`. A login is a user and a password."""
        if "user" in fields and "password" not in fields:
            raise urls.BadUrl(("", "the URL has a token, which these details cannot hold; write user:password@"))
        return super().url_fields(fields)

    @property
    def url(self) -> str:
        """`nats://user:password@host:port`."""
        return address("nats", self.host, self.port, "", self.user or None, self.password or None)

    @property
    def stream_prefix(self) -> str:
        """`prefix` without dots, as names of streams, buckets and consumers require."""
        return self.prefix.replace(".", "_")

    def env(self) -> dict[str, str]:
        """`NATS_URL`, `NATS_USER` and `NATS_PASSWORD` for the program `nats`, and `NATS_PREFIX`."""
        names = {"NATS_URL": self.url, "NATS_USER": self.user, "NATS_PASSWORD": self.password}
        return filled(names | {"NATS_PREFIX": self.prefix})
