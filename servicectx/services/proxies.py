"""Changes to the caller's environment for a process that uses a service."""

import os
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from ipaddress import ip_address

PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def matching(environment: Mapping[str, str], patterns: Iterable[str]) -> list[str]:
    """The names in `environment` that match one of the patterns, such as "AWS_ENDPOINT_URL_*"."""
    every = tuple(patterns)
    return sorted(name for name in environment if any(fnmatchcase(name, pattern) for pattern in every))


def without_proxy(host: str) -> dict[str, str]:
    """`NO_PROXY` and `no_proxy` with `host`, if it is on this machine and a proxy is set."""
    if not is_loopback(host) or not any(os.environ.get(name) for name in PROXIES):
        return {}
    before = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [name.strip() for name in before.split(",") if name.strip()]
    value = before if host in hosts or "*" in hosts else ",".join([*hosts, host])
    return {"NO_PROXY": value, "no_proxy": value}


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
