"""Requests to Vault, and the probes of the keeper."""

from typing import Any

from servicectx.wire import http


def ask(host: str, port: int, token: str, method: str, path: str, body: Any = None, **options: Any) -> http.Answer:
    return http.ask(host, port, method, f"/v1/{path}", body, {"X-Vault-Token": token}, **options)


def is_usable(host: str, port: int, wait: float, first: str, token: str) -> dict[str, Any] | None:
    """A probe: replace the first token by `token`. In development mode Vault logs its first token."""
    health = ask(host, port, "", "GET", "sys/health", wait=wait)
    if health.status != 200:
        return None
    if ask(host, port, first, "GET", "auth/token/lookup-self", wait=wait).status == 200:
        properties = {"id": token, "policies": ["root"], "no_parent": True, "display_name": "root"}
        ask(host, port, first, "POST", "auth/token/create", properties, wait=wait)
        ask(host, port, token, "POST", "auth/token/revoke", {"token": first}, wait=wait)
    return {"version": health.data["version"]} if is_ours(host, port, wait, token) is not None else None


def is_ours(host: str, port: int, wait: float, token: str) -> dict[str, Any] | None:
    """A probe: whether the token has access to secrets."""
    return {} if ask(host, port, token, "GET", "secret/config", wait=wait).status == 200 else None
