"""How to connect to OpenBao or Vault."""

from servicectx.details.base import ServiceDetails, address


class VaultDetails(ServiceDetails):
    """An OpenBao or Vault server: a `token`, and `mount`, where its key-value secrets (version 2) are."""

    scheme: str = "http"
    token: str = ""
    mount: str = "secret"
    version: str | None = None

    @property
    def url(self) -> str:
        """`http://host:port`: hvac, bao, vault."""
        return address(self.scheme, self.host, self.port)

    def env(self) -> dict[str, str]:
        """What hvac, vault and bao read; and `VAULT_MOUNT` and `BAO_MOUNT`, for you."""
        told = {"ADDR": self.url, "TOKEN": self.token, "MOUNT": self.mount}
        return {f"{tool}_{name}": value for tool in ("VAULT", "BAO") for name, value in told.items()}
