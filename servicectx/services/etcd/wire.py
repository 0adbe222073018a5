"""Requests to etcd over its JSON gateway, and the password of an instance. Standard library only."""

import base64
import contextlib
from collections.abc import Iterator
from typing import Any

from servicectx.wire import http

ROOT = "root"  # the user and the role that etcd requires for authentication
FAILED_PRECONDITION = 9  # of gRPC: authentication is off, or the user or role exists


class Refused(OSError):
    """The server answered with an error."""

    def __init__(self, problem: str, code: int) -> None:
        super().__init__(problem)
        self.code = code


class Gateway:
    """Requests of one user. Raises OSError without a server, Refused when the server reports an error."""

    def __init__(self, host: str, port: int, user: str = "", password: str = "", wait: float = 10.0) -> None:
        self._place = (host, port)
        self._wait = wait
        self._headers: dict[str, str] = {}
        if user:
            self._headers["Authorization"] = self.ask("auth/authenticate", name=user, password=password)["token"]

    def ask(self, path: str, **question: Any) -> dict[str, Any]:
        answer = http.ask(*self._place, "POST", f"/v3/{path}", question, self._headers, self._wait)
        if not isinstance(answer.data, dict):
            raise OSError(f"not an etcd server: status {answer.status}")
        if answer.status != 200:
            raise Refused(answer.data.get("message") or answer.data.get("error", ""), answer.data.get("code", 0))
        return answer.data

    def version(self) -> Any:
        reply = http.ask(*self._place, "GET", "/version", wait=self._wait).data
        return reply.get("etcdserver") if isinstance(reply, dict) else None

    def first_key(self, begin: str, end: str) -> str | None:
        """The first key from `begin` to before `end`, decoded as Latin-1: one character for each byte."""
        selection = {"key": _coded(begin), "range_end": _coded(end), "limit": 1, "keys_only": True}
        found = self.ask("kv/range", **selection, sort_order="ASCEND", sort_target="KEY").get("kvs")
        return base64.b64decode(found[0]["key"]).decode("latin-1") if found else None

    def put(self, key: str) -> None:
        """Store an empty value."""
        self.ask("kv/put", key=_coded(key))

    def remove(self, prefix: str) -> None:
        """Delete all keys that begin with `prefix`."""
        self.ask("kv/deleterange", key=_coded(prefix), range_end=_coded(after(prefix)))


def after(prefix: str) -> str:
    """The first text after all texts that begin with `prefix`, in sort order."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def claim_server(
    host: str, port: int, wait: float, member: str, old: str, new: str | None, user: str = ROOT
) -> dict[str, Any]:
    """A probe: set the password of `user` to `new`, from `old` or from no password. Does nothing if it is set already.

    A server without a password may belong to another account, so its name must be `member`. None: no authentication.
    """
    if new is None:
        gateway = Gateway(host, port, wait=wait)
        _check_name(gateway, member)
        return {"version": gateway.version()}
    try:
        gateway = Gateway(host, port, user, new, wait)
    except Refused as refused:
        if refused.code == FAILED_PRECONDITION:
            _protect(Gateway(host, port, wait=wait), member, user, new)
        else:
            Gateway(host, port, user, old, wait).ask("auth/user/changepw", name=user, password=new)
        gateway = Gateway(host, port, user, new, wait)
    return {"version": gateway.version()}


def _check_name(gateway: Gateway, member: str) -> None:
    members = gateway.ask("cluster/member/list")["members"]
    if [entry.get("name") for entry in members] != [member]:
        raise OSError(f"this port belongs to another server, not to {member}")


def _protect(gateway: Gateway, member: str, user: str, password: str) -> None:
    """Add the user with the role root. etcd requires a user `root` too; beside another user it cannot log in."""
    _check_name(gateway, member)
    with _unless_there():
        gateway.ask("auth/role/add", name=ROOT)
    for name in dict.fromkeys((user, ROOT)):
        login = {"password": password} if name == user else {"options": {"no_password": True}}
        with _unless_there():
            gateway.ask("auth/user/add", name=name, **login)
        gateway.ask("auth/user/grant", user=name, role=ROOT)
    gateway.ask("auth/enable")


@contextlib.contextmanager
def _unless_there() -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        if refused.code != FAILED_PRECONDITION:
            raise


def _coded(text: str) -> str:
    return base64.b64encode(text.encode("latin-1")).decode()
