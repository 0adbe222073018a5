"""How to reach any command."""

from servicectx.details.base import ServiceDetails, address, named


class CommandDetails(ServiceDetails):
    """A command of the user's own: where it listens, and its directory."""

    scheme: str = "tcp"
    directory: str | None = None
    pid: int | None = None

    @property
    def url(self) -> str:
        """`http://host:port` when it was made ready by an HTTP URL, else `tcp://host:port`."""
        return address(self.scheme, self.host, self.port)

    def env(self) -> dict[str, str]:
        """`<NAME>_URL`, `<NAME>_HOST` and `<NAME>_PORT`, after the name it was given."""
        return named(self)
