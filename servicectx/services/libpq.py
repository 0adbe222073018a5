"""Variables and parameters of libpq that decide which server a client reaches, and how.

The environment may set these variables for another server. libpq adds them to a connection string that omits them.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from typing import NamedTuple


class Setting(NamedTuple):
    """A parameter of libpq, its variable, and a neutral value that leaves the choice to the server.

    `everywhere`: asyncpg accepts the parameter in a URL, too; asyncpg ignores empty parameters. `place`: the parameter
    decides which server is reached.
    """

    variable: str
    parameter: str
    value: str
    everywhere: bool = False
    place: bool = False


SETTINGS = (
    Setting("PGHOSTADDR", "hostaddr", "", everywhere=True, place=True),
    Setting("PGTARGETSESSIONATTRS", "target_session_attrs", "any", everywhere=True, place=True),
    Setting("PGREQUIREPEER", "requirepeer", "", everywhere=True, place=True),
    Setting("PGLOADBALANCEHOSTS", "load_balance_hosts", "disable", place=True),
    Setting("PGSSLMODE", "sslmode", "prefer", everywhere=True),
    Setting("PGOPTIONS", "options", "", everywhere=True),
    Setting("PGREQUIREAUTH", "require_auth", "none,password,md5,gss,sspi,scram-sha-256"),
    Setting("PGSSLNEGOTIATION", "sslnegotiation", "postgres", everywhere=True),
    Setting("PGSSLCERTMODE", "sslcertmode", "allow"),
    Setting("PGCHANNELBINDING", "channel_binding", "prefer"),
    Setting("PGGSSENCMODE", "gssencmode", "disable"),
    Setting("PGMINPROTOCOLVERSION", "min_protocol_version", "3.0"),
    Setting("PGMAXPROTOCOLVERSION", "max_protocol_version", "3.0"),
)
# A service file may set any parameter. Every libpq in use supports these; it refuses an unknown parameter.
OLD = ("hostaddr", "target_session_attrs", "sslmode", "options", "channel_binding", "gssencmode")

# Variables that a client does not need. Variables with `place` apply to external servers, too.
PLACE = ("PGSERVICE", "PGSERVICEFILE", *(setting.variable for setting in SETTINGS if setting.place))
UNSET = (
    *PLACE,
    *(setting.variable for setting in SETTINGS if not setting.place),
    *("PGPASSFILE", "PGREQUIRESSL", "PGREALM"),
    *("PGSSLCERT", "PGSSLKEY", "PGSSLROOTCERT", "PGSSLCRL", "PGSSLCRLDIR", "PGSSLSNI", "PGSSLCOMPRESSION"),
    *("PGSSLMINPROTOCOLVERSION", "PGSSLMAXPROTOCOLVERSION"),
    *("PGKRBSRVNAME", "PGGSSLIB", "PGGSSDELEGATION"),
)
# Variables that are useful for this server, too.
KEPT = ("PGAPPNAME", "PGCONNECT_TIMEOUT", "PGCLIENTENCODING", "PGDATESTYLE", "PGTZ", "PGGEQO", "PGLOCALEDIR")


def in_the_way(environment: Mapping[str, str], external: bool) -> Iterator[Setting]:
    """The settings that `environment` would add to a connection string that omits them."""
    for setting in SETTINGS:
        from_service = "PGSERVICE" in environment and setting.parameter in OLD
        if (setting.variable in environment or from_service) and (setting.place or not external):
            yield setting


def address_of(host: str) -> str:
    """The value of `hostaddr`: `host` where it is an address; else "", which makes libpq resolve the name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return ""
