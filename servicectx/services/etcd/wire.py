"""Small talk with etcd through its JSON gateway, with the standard library alone; how an instance gets its password."""

import base64
import contextlib
from collections.abc import Iterator
from typing import Any

from servicectx.wire import http

ROOT = "root"  # the user and the role that etcd demands before it turns authentication on
FAILED_PRECONDITION = 9  # gRPC's: authentication is off; the user or the role is there already


class Refused(OSError):
    """The server answered with an error."""

    def __init__(self, problem: str, code: int) -> None:
        super().__init__(problem)
        self.code = code


class Gateway:
    """One user's words with the server. Raises OSError where nobody answers, Refused where the server objects."""

    def __init__(self, host: str, port: int, user: str = "", password: str = "", wait: float = 10.0) -> None:
        self._place = (host, port)
        self._wait = wait
        self._headers: dict[str, str] = {}
        if user:
            self._headers["Authorization"] = self.ask("auth/authenticate", name=user, password=password)["token"]

    def ask(self, path: str, **question: Any) -> dict[str, Any]:
        answer = http.ask(*self._place, "POST", f"/v3/{path}", question, self._headers, self._wait)
        if not isinstance(answer.data, dict):
            raise OSError(f"there is no etcd: status {answer.status}")
        if answer.status != 200:
            raise Refused(answer.data.get("message") or answer.data.get("error", ""), answer.data.get("code", 0))
        return answer.data

    def version(self) -> Any:
        told = http.ask(*self._place, "GET", "/version", wait=self._wait).data
        return told.get("etcdserver") if isinstance(told, dict) else None

    def first_key(self, begin: str, end: str) -> str | None:
        """The first key from `begin` on and before `end`; a letter stands for each byte."""
        asked = {"key": _coded(begin), "range_end": _coded(end), "limit": 1, "keys_only": True}
        found = self.ask("kv/range", **asked, sort_order="ASCEND", sort_target="KEY").get("kvs")
        return base64.b64decode(found[0]["key"]).decode("latin-1") if found else None

    def put(self, key: str) -> None:
        """An empty value."""
        self.ask("kv/put", key=_coded(key))

    def remove(self, prefix: str) -> None:
        """All keys that begin with it."""
        self.ask("kv/deleterange", key=_coded(prefix), range_end=_coded(after(prefix)))


def after(prefix: str) -> str:
    """The first text that comes after all those that begin with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def claim_server(host: str, port: int, wait: float, member: str, old: str, new: str) -> dict[str, Any]:
    """A probe: gives root the password `new`, unless it has it, in place of `old` or of none at all.

    Without a password anybody's server would obey: then `member` must be its name.
    """
    try:
        gateway = Gateway(host, port, ROOT, new, wait)
    except Refused as refused:
        if refused.code == FAILED_PRECONDITION:
            _protect(Gateway(host, port, wait=wait), member, new)
        else:
            Gateway(host, port, ROOT, old, wait).ask("auth/user/changepw", name=ROOT, password=new)
        gateway = Gateway(host, port, ROOT, new, wait)
    return {"version": gateway.version()}


def _protect(gateway: Gateway, member: str, password: str) -> None:
    members = gateway.ask("cluster/member/list")["members"]
    if [each.get("name") for each in members] != [member]:
        raise OSError(f"the server is not {member}, but somebody else's")
    with _unless_there():
        gateway.ask("auth/user/add", name=ROOT, password=password)
    with _unless_there():
        gateway.ask("auth/role/add", name=ROOT)
    gateway.ask("auth/user/grant", user=ROOT, role=ROOT)
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
