"""Libraries that Postgres loads at its start, because extensions need them there."""

from collections.abc import Mapping, Sequence

from servicectx.services.postgres.extensions import MODULES, with_required

Value = str | int | float | bool

SETTING = "shared_preload_libraries"

# Extensions whose library has the same name, and works only if it was loaded at the start.
_NAMES = """
    citus pg_cron pg_net pg_qualstats pg_search pg_squeeze pg_stat_kcache pg_stat_monitor pg_stat_statements pg_tle
    pg_wait_sampling pgaudit pglogical pgsodium set_user timescaledb vchord
"""
PRELOADED = frozenset([*_NAMES.split(), *MODULES])

FIRST = "citus"  # it refuses to be loaded after others


def merged(
    ours: Mapping[str, Value], given: Mapping[str, Value], program: str, extensions: Sequence[str]
) -> dict[str, Value]:
    """All settings: the user's win, and the libraries of both are loaded, the user's first."""
    everything = {**ours, **given}
    libraries = [name for name in with_required(program, extensions) if name in PRELOADED] if extensions else []
    if not libraries:
        return everything
    own = next((name for name in given if name.lower() == SETTING), SETTING)
    before = [name.strip() for name in str(given.get(own, "")).split(",") if name.strip()]
    names = sorted(dict.fromkeys([*before, *libraries]), key=lambda name: name != FIRST)
    return {**everything, own: ",".join(names)}


def settings(extensions: Sequence[str], dbname: str) -> dict[str, Value]:
    """Settings without which an extension does not work in the instance's database, or reports to its makers."""
    found: dict[str, Value] = {}
    if "pg_cron" in extensions:  # it connects to one database; a worker needs no login
        found |= {"cron.database_name": dbname, "cron.use_background_workers": True}
    if "timescaledb" in extensions:
        found |= {"timescaledb.telemetry_level": "off"}
    return found
