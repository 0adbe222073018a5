"""A journal where set-ups and tests record their server, identified by the server itself."""

import json
import os
import time

import psycopg
import redis


def note(what, details=None, **fields):
    line = {"what": what, "pid": os.getpid(), **fields}
    if details is not None:
        line |= {"service": details.service, "instance": instance(details)}
    with open(os.environ["JOURNAL"], "a") as journal:
        journal.write(json.dumps(line) + "\n")


def instance(details):
    if details.service == "postgres":
        with psycopg.connect(details.url) as connection:
            return str(connection.execute("select pg_postmaster_start_time()").fetchone()[0])
    with redis.Redis.from_url(details.url) as client:
        return client.info("server")["run_id"]


def migrate(pg):
    with psycopg.connect(pg.url) as connection:
        connection.execute("create table notes (text text)")
    note("set-up", pg)
    if os.environ.get("FAIL") == "set-up":
        raise LookupError("this set-up fails")


def write_a_note(details):
    """Insert a row; return the number of rows."""
    with psycopg.connect(details.url) as connection:
        connection.execute("insert into notes values ('hello')")
        return connection.execute("select count(*) from notes").fetchone()[0]


def come_to(place):
    """Record that a place is reached, and sleep there if PAUSE names it."""
    note(place)
    if os.environ.get("PAUSE") == place:
        time.sleep(float(os.environ.get("PAUSE_SECONDS", "60")))
