"""Connection details of NATS."""

from typing import Any, ClassVar

from servicectx.services import urls
from servicectx.services.details import address, filled
from servicectx.services.login_details import LoginDetails


class NatsDetails(LoginDetails):
    """A NATS server with JetStream: `user` and `password`, or `token`. `prefix`: of every subject in a namespace."""

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

    token: str = ""

    @classmethod
    def url_fields(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """A text without a colon before the `@` is a token."""
        if "user" in fields and "password" not in fields:
            fields = {**fields, "token": fields["user"]}
            del fields["user"]
        return super().url_fields(fields)

    @property
    def url(self) -> str:
        """`nats://user:password@host:port`, or `nats://token@host:port`."""
        return address("nats", self.host, self.port, "", self.token or self.user or None, self.password or None)

    @property
    def nats_py(self) -> dict[str, Any]:
        """The arguments of nats-py: `nats.connect(**details.nats_py)`. It decodes no percent signs in a URL."""
        login = {"user": self.user, "password": self.password, "token": self.token}
        return {"servers": address("nats", self.host, self.port), **filled(login)}

    @property
    def stream_prefix(self) -> str:
        """`prefix` without dots, as names of streams, buckets and consumers require."""
        return self.prefix.replace(".", "_")

    def env(self) -> dict[str, str]:
        """`NATS_URL`, `NATS_USER`, `NATS_PASSWORD`, `NATS_TOKEN` for the program `nats`, and `NATS_PREFIX`."""
        names = {"NATS_URL": self.url, "NATS_USER": self.user, "NATS_PASSWORD": self.password, "NATS_TOKEN": self.token}
        return filled(names | {"NATS_PREFIX": self.prefix})
