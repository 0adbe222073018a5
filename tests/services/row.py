"""A row of the conformance table. Each `test_<service>.py` has its rows in `ROWS`."""

from typing import Any, NamedTuple

ODD_PASSWORD = "a b/c:d@e#f?g%h'i\"j\\k{port}l"  # characters that formats escape


class Login(NamedTuple):
    """A login that the caller chooses. A client logs in with the details of `managed(service, **options)`.

    `fields`: fields of these details, with their exact values. `refused`: changes of the details; with each of them the
    client is refused. It is empty for a server without a login.
    """

    name: str
    options: dict[str, Any]
    fields: dict[str, Any]
    refused: tuple[dict[str, Any], ...] = ()


def password(text: str = ODD_PASSWORD, **options: Any) -> Login:
    """The login with a chosen password. `options`: more options, which the details have as fields."""
    chosen = {"password": text, **options}
    return Login("password", chosen, chosen, ({"password": "wrong"}, {"password": ""}))


def no_password(**fields: Any) -> Login:
    """A server without a login. `fields`: more fields of the details."""
    return Login("no-password", {"password": None}, {"password": "", **fields})


class Row(NamedTuple):
    """`variant` distinguishes rows of one service. `program`: the path of one of several servers. `binary`, `options`:
    as for `check_service`. `needs`: the source of the server, "pip" (present wherever the tests run) or "system".
    `volatile`: for a service without data to keep, a part of the reason in its error. `logins`: the logins that a
    caller can choose. `not_possible`: options of logins that the server cannot have, each with the reason, which its
    page repeats. `socket`: whether `socket=True` gives a Unix socket.
    """

    service: str
    variant: str = ""
    needs: str = "pip"
    program: str | None = None
    binary: bool = True
    options: dict[str, Any] = {}
    volatile: str = ""
    logins: tuple[Login, ...] = ()
    not_possible: tuple[tuple[dict[str, Any], str], ...] = ()
    socket: bool = False

    def __str__(self) -> str:
        return f"{self.service}-{self.variant}" if self.variant else self.service
