"""A copy of a database also has the state that is stored outside it: owner, grants, settings."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from servicectx import PostgresDetails, isolated, managed
from servicectx.services.postgres.connection_cache import close_cached
from servicectx.services.postgres.databases import Databases, base
from servicectx.services.postgres.wire import Connection

STATE = """
select pg_get_userbyid(datdba), datconnlimit, (select array_agg(a::text order by a::text) from unnest(datacl) a),
    (select array_agg(array[setrole::text, setconfig::text] order by setrole)
        from pg_db_role_setting where setdatabase = oid)
from pg_database where datname = current_database()
"""
PLAIN = [("postgres", -1, None, None)]


def run(details: PostgresDetails, *statements: Any) -> list[Any]:
    with psycopg.connect(details.url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def give_away(details: PostgresDetails) -> None:
    """Set all kinds of state outside a database, with values that need different quoting."""
    name = f'"{details.dbname}"'
    run(
        details,
        'create role app login; create role "The Reader" login',
        'create schema app authorization app; create schema "a, b"; create table app.things (n int)',
        f'alter database {name} set search_path to app, "a, b", \'$user\', """q"',
        f"alter database {name} set timezone to 'Asia/Tokyo'",
        f"alter database {name} set my.words to 'it''s, \"this\" % = {{that}}'",
        f"alter role \"The Reader\" in database {name} set work_mem to '5MB'",
        f"alter role \"The Reader\" in database {name} set search_path to ''",
        f"alter database {name} owner to app",
        f"alter database {name} connection limit 7",
        f"revoke connect on database {name} from public",
        f'grant connect on database {name} to "The Reader" with grant option',
    )


def narrow(details: PostgresDetails) -> None:
    run(details, f"alter database \"{details.dbname}\" set work_mem to '6MB'")


@pytest.fixture
def pg() -> Iterator[PostgresDetails]:
    with managed("postgres", setup=give_away, dbname="shop") as details:
        yield details
    close_cached()


def test_a_copy_has_what_the_set_up_gave(pg: PostgresDetails) -> None:
    assert run(pg, STATE)[0][0] == "app"
    for _ in range(5):  # made by this process, and prefetched
        with isolated(pg) as mine:
            assert run(mine, STATE) == run(pg, STATE)
            assert run(mine, "show my.words", "show search_path") == run(pg, "show search_path")
            assert run(mine, "show my.words") == [('it\'s, "this" % = {that}',)]
            run(mine, "select * from things")


def test_so_has_one_with_set_ups_on_top(pg: PostgresDetails) -> None:
    for _ in range(5):
        with isolated(pg, setup=narrow) as mine:
            (state,) = run(mine, STATE)
            (given,) = run(pg, STATE)
            assert state[:3] == given[:3]
            assert state[3] != given[3], "the setting of the set-up on top"
            assert state[3][1:] == given[3][1:]
            assert run(mine, "select * from things", "show work_mem") == [("6MB",)]
    with isolated(pg) as mine:
        assert run(mine, "show work_mem") == run(pg, "show work_mem")


def test_where_there_is_nothing_nobody_asks_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    with managed("postgres", setup=lambda _: None, scope="private") as pg:
        queries: list[str] = []
        original = Connection.run

        def note(connection: Connection, sql: str) -> list[str | None]:
            queries.append(sql)
            return original(connection, sql)

        monkeypatch.setattr(Connection, "run", note)
        for name in ("one", "two"):
            Databases.of(pg).open(name, base)
            assert run(pg.model_copy(update={"dbname": name}), STATE) == PLAIN
        assert len([sql for sql in queries if "pg_db_role_setting" in sql]) == 1
        close_cached()


def test_outside_what_is_permitted_is_carried_over() -> None:
    def give(details: PostgresDetails) -> None:
        name = f'"{details.dbname}"'
        run(
            details,
            f"alter database {name} set search_path to app, public",
            f"revoke connect on database {name} from public",
        )
        run(server, f"alter database {name} set log_statement to 'ddl'")  # only a superuser may set it

    with managed("postgres") as server:
        run(server, "create role app login createdb password 'app'", "create database app owner app")
        outside = server.model_copy(update={"user": "app", "password": "app", "dbname": "app", "external": True})
        with isolated(outside, setup=give) as mine:
            ((owner, _, grants, settings),) = run(mine, STATE)
            assert (owner, grants) == ("app", ["=T/app", "app=CTc/app"])
            assert settings == [["0", '{"search_path=app, public"}']]
