"""Connection details of OpenBao or Vault."""

from typing import Any, ClassVar

from servicectx.services import urls
from servicectx.services.details import ServiceDetails, address, filled
from servicectx.services.proxies import without_proxy


class VaultDetails(ServiceDetails):
    """An OpenBao or Vault server: a `token`, and `mount`, the path of its key-value secrets (version 2). `unseal_key`:
    the only key that unseals the server, in base64; empty for an external server.
    """

    secrets: ClassVar[frozenset[str]] = ServiceDetails.secrets | {"unseal_key"}

    foreign: ClassVar[tuple[str, ...]] = (
        "VAULT_TOKEN",
        "VAULT_NAMESPACE",
        "VAULT_AGENT_ADDR",
        "VAULT_PROXY_ADDR",
        "VAULT_HTTP_PROXY",
        "VAULT_CACERT",
        "VAULT_CACERT_BYTES",
        "VAULT_CAPATH",
        "VAULT_CLIENT_CERT",
        "VAULT_CLIENT_KEY",
        "VAULT_SKIP_VERIFY",
        "VAULT_TLS_SERVER_NAME",
        "VAULT_SRV_LOOKUP",
        "VAULT_WRAP_TTL",
        "VAULT_MFA",
        "VAULT_CONFIG_PATH",
        "BAO_TOKEN",
        "BAO_NAMESPACE",
        "BAO_AGENT_ADDR",
        "BAO_PROXY_ADDR",
        "BAO_HTTP_PROXY",
        "BAO_CACERT",
        "BAO_CACERT_BYTES",
        "BAO_CAPATH",
        "BAO_CLIENT_CERT",
        "BAO_CLIENT_KEY",
        "BAO_SKIP_VERIFY",
        "BAO_TLS_SERVER_NAME",
        "BAO_SRV_LOOKUP",
        "BAO_WRAP_TTL",
        "BAO_MFA",
        "BAO_CONFIG_PATH",
    )
    url_form: ClassVar[urls.Form] = urls.Form(
        schemes={"http": {"scheme": "http"}, "https": {"scheme": "https"}},
        user="user",
        password="token",  # noqa: S106  # the name of a field
        query={"token": "token", "mount": "mount"},
    )

    scheme: str = "http"
    token: str = ""
    mount: str = "secret"
    unseal_key: str = ""
    version: str | None = None

    @classmethod
    def url_fields(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Take the token from before the `@`, with or without a colon before it."""
        user = fields.pop("user", None)
        if user is not None and "token" in fields:
            raise urls.BadUrl(("", "the URL has a user and a password or token; these details hold a token alone"))
        return super().url_fields({"token": user} | fields if user else fields)

    @property
    def url(self) -> str:
        """`http://host:port`, for hvac, bao and vault."""
        return address(self.scheme, self.host, self.port)

    def env(self) -> dict[str, str]:
        """The variables of hvac, vault and bao, plus `VAULT_MOUNT` and `BAO_MOUNT`."""
        fields = {"ADDR": self.url, "TOKEN": self.token, "MOUNT": self.mount}
        names = {f"{tool}_{name}": value for tool in ("VAULT", "BAO") for name, value in fields.items()}
        return filled(names) | without_proxy(self.host)
