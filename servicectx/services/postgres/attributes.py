"""The attributes that CREATE DATABASE does not copy from its template: owner, grants, settings."""

from weakref import WeakKeyDictionary

from servicectx.services.postgres.wire import Connection, Refused, literal

DENIED = "42501"  # SQLSTATE

# Settings with a list as value, with separately quoted elements: src/include/utils/guc.h, GUC_LIST_QUOTE.
LISTS = (
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
)

_plain: WeakKeyDictionary[Connection, set[str]] = WeakKeyDictionary()


def copy_attributes(connection: Connection, source: str, name: str) -> None:
    """Copy the attributes of `source` to its fresh copy `name`. Attributes that the user may not set are skipped.

    This costs one query, and only once for a template without attributes. The server's own template1 has none.
    """
    plain = _plain.setdefault(connection, set())
    if source == "template1" or source in plain:
        return
    statements = connection.run(_statements(source, name))
    if not statements:
        plain.add(source)
    for statement in statements:
        try:
            connection.run(str(statement))
        except Refused as refusal:
            if refusal.code != DENIED:
                raise


def _statements(source: str, name: str) -> str:
    """A query for the statements, in order: settings first, because a former owner may lose the right to set them."""
    lists = ", ".join(map(literal, LISTS))
    element = literal(r'"((?:[^"]|"")*)"|([^",[:space:]]+)')
    target = literal(name)
    return f"""
WITH source AS (
    SELECT oid, datconnlimit, datacl, pg_get_userbyid(datdba) AS owner
    FROM pg_database WHERE datname = {literal(source)}
), settings AS (
    SELECT setrole, split_part(setting, '=', 1) AS parameter, substr(setting, strpos(setting, '=') + 1) AS value
    FROM source JOIN pg_db_role_setting ON setdatabase = oid, unnest(setconfig) AS setting
), grants AS (
    SELECT grantee, privilege_type, is_grantable FROM source, aclexplode(datacl)
)
SELECT statement FROM (
    SELECT 1 AS turn, format('ALTER DATABASE %I CONNECTION LIMIT %s', {target}, datconnlimit) AS statement
    FROM source WHERE datconnlimit >= 0
    UNION ALL SELECT 2, format(
        CASE WHEN setrole = 0 THEN 'ALTER DATABASE %1$I' ELSE 'ALTER ROLE %2$I IN DATABASE %1$I' END
        || ' SET %3$I TO %4$s', {target}, pg_get_userbyid(setrole), parameter,
        CASE WHEN parameter NOT IN ({lists}) THEN quote_literal(value)
            ELSE coalesce((SELECT string_agg(quote_literal(coalesce(replace(part[1], '""', '"'), part[2])), ', ')
                FROM regexp_matches(value, {element}, 'g') AS part), '''''') END)
    FROM settings
    UNION ALL SELECT 3, format('ALTER DATABASE %I OWNER TO %I', {target}, owner)
    FROM source WHERE owner <> current_user
    UNION ALL SELECT 4, format('REVOKE ALL ON DATABASE %I FROM PUBLIC, %I', {target}, owner)
    FROM source WHERE datacl IS NOT NULL
    UNION ALL SELECT 5, format('GRANT %s ON DATABASE %I TO %s', privilege_type, {target},
        CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
        || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM grants
) AS all_of_them ORDER BY turn
"""
