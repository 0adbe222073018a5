"""Requests to Vault; and whether it is usable, with a token that it has not written into its log."""

from typing import Any

from servicectx.wire import http


def ask(host: str, port: int, token: str, method: str, path: str, body: Any = None, **more: Any) -> http.Answer:
    return http.ask(host, port, method, f"/v1/{path}", body, {"X-Vault-Token": token}, **more)


def is_usable(host: str, port: int, wait: float, first: str, token: str) -> dict[str, Any] | None:
    """A probe. In development mode Vault writes its first token into its log, so this one takes its place."""
    health = ask(host, port, "", "GET", "sys/health", wait=wait)
    if health.status != 200:
        return None
    if ask(host, port, first, "GET", "auth/token/lookup-self", wait=wait).status == 200:
        wanted = {"id": token, "policies": ["root"], "no_parent": True, "display_name": "root"}
        ask(host, port, first, "POST", "auth/token/create", wanted, wait=wait)
        ask(host, port, token, "POST", "auth/token/revoke", {"token": first}, wait=wait)
    return {"version": health.data["version"]} if is_ours(host, port, wait, token) is not None else None


def is_ours(host: str, port: int, wait: float, token: str) -> dict[str, Any] | None:
    """A probe: does it let us at its secrets?"""
    return {} if ask(host, port, token, "GET", "secret/config", wait=wait).status == 200 else None
