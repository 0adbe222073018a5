"""Variables and parameters of libpq that decide which server a client reaches, and how.

An environment has them for another server: a connection string that does not name them is completed from there.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from typing import NamedTuple


class Setting(NamedTuple):
    """A parameter of libpq, its variable, and the value that leaves everything to the server. `everywhere`: asyncpg
    accepts it in a URL, too; it leaves out parameters that are empty. `place`: it decides which server is reached.
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
# A service file may give any parameter. These are known to every libpq in use; an unknown one would be refused.
OLD = ("hostaddr", "target_session_attrs", "sslmode", "options", "channel_binding", "gssencmode")

# Variables without which a client still finds its way. Those of the place concern servers from outside, too.
PLACE = ("PGSERVICE", "PGSERVICEFILE", *(each.variable for each in SETTINGS if each.place))
UNSET = (
    *PLACE,
    *(each.variable for each in SETTINGS if not each.place),
    *("PGPASSFILE", "PGREQUIRESSL", "PGREALM"),
    *("PGSSLCERT", "PGSSLKEY", "PGSSLROOTCERT", "PGSSLCRL", "PGSSLCRLDIR", "PGSSLSNI", "PGSSLCOMPRESSION"),
    *("PGSSLMINPROTOCOLVERSION", "PGSSLMAXPROTOCOLVERSION"),
    *("PGKRBSRVNAME", "PGGSSLIB", "PGGSSDELEGATION"),
)
# What a caller may well want for this server, too.
KEPT = ("PGAPPNAME", "PGCONNECT_TIMEOUT", "PGCLIENTENCODING", "PGDATESTYLE", "PGTZ", "PGGEQO", "PGLOCALEDIR")


def in_the_way(environment: Mapping[str, str], external: bool) -> Iterator[Setting]:
    """The settings that `environment` would give to a connection that does not name them itself."""
    for each in SETTINGS:
        from_service = "PGSERVICE" in environment and each.parameter in OLD
        if (each.variable in environment or from_service) and (each.place or not external):
            yield each


def address_of(host: str) -> str:
    """`host` as a value of `hostaddr` where it is an address; else "", which makes libpq look the name up."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return ""
