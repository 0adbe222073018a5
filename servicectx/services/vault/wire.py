"""Requests to Vault, and the probes of the keeper."""

import re
from typing import Any

from servicectx.system import reading
from servicectx.wire import http

LOG_LIMIT = 2**24  # bytes of the output of a start
LONGEST = 10.0  # seconds for a request that must not be lost


def ask(host: str, port: int, token: str, method: str, path: str, body: Any = None, **options: Any) -> http.Answer:
    return http.ask(host, port, method, f"/v1/{path}", body, {"X-Vault-Token": token}, **options)


def is_usable(
    host: str, port: int, wait: float, first: str, token: str, log: str, log_start: int
) -> dict[str, Any] | None:
    """A probe: replace the first token and the unseal key. In development mode Vault logs both."""
    health = ask(host, port, "", "GET", "sys/health", wait=wait)
    if health.status != 200:
        return None
    if is_ours(host, port, wait, first) is None:
        return {"version": health.data["version"]} if is_ours(host, port, wait, token) is not None else None
    with reading.open_log(log, log_start) as file:  # the key of an earlier run is void
        logged = re.search(r"^Unseal Key: (\S+)$", file.read(LOG_LIMIT).decode(errors="replace"), re.MULTILINE)
    if not logged:
        return None
    properties = {"id": token, "policies": ["root"], "no_parent": True, "display_name": "root"}
    ask(host, port, first, "POST", "auth/token/create", properties, wait=LONGEST)
    if is_ours(host, port, LONGEST, token) is None:
        return None
    unseal_key = _new_key(host, port, token, logged[1])
    ask(host, port, token, "POST", "auth/token/revoke", {"token": first}, wait=LONGEST)
    return {"version": health.data["version"], "unseal_key": unseal_key}


def _new_key(host: str, port: int, token: str, key: str) -> str:
    """Replace the unseal key. OpenBao has a path of its own for this, which requires a token."""
    problem = ""
    for path in ("rotate/root", "rekey"):
        begun = ask(
            host, port, token, "PUT", f"sys/{path}/init", {"secret_shares": 1, "secret_threshold": 1}, wait=LONGEST
        )
        if begun.status != 200:
            problem = f"{path}: status {begun.status}"
            continue
        nonce = (begun.data.get("data") or begun.data)["nonce"]
        done = ask(host, port, token, "PUT", f"sys/{path}/update", {"key": key, "nonce": nonce}, wait=LONGEST)
        data = (done.data or {}).get("data") or done.data or {}
        if done.status == 200 and data.get("keys_base64"):
            return str(data["keys_base64"][0])
        problem = f"{path}: status {done.status}"
    raise ValueError(f"the server does not replace its unseal key: {problem}")


def is_ours(host: str, port: int, wait: float, token: str) -> dict[str, Any] | None:
    """A probe: whether the token has access to secrets."""
    return {} if ask(host, port, token, "GET", "secret/config", wait=wait).status == 200 else None
