"""A script with a temporary database: Postgres computes the result, and nothing is left of it.

Run it with `python examples/plain_script.py`.
"""

import psycopg

from servicectx import managed

READINGS = [("kitchen", 21.5), ("kitchen", 22.5), ("attic", 17.0), ("attic", 35.0), ("attic", 18.0)]

with managed("postgres") as pg, psycopg.connect(pg.url) as connection:
    connection.execute("create table readings (room text, degrees float)")
    with connection.cursor().copy("copy readings from stdin") as copy:
        for reading in READINGS:
            copy.write_row(reading)
    medians = "select room, percentile_cont(0.5) within group (order by degrees) from readings group by room order by 1"
    for room, median in connection.execute(medians):
        print(f"{room:<8} {median:5.1f}")
