"""For a Python prompt, IPython or Jupyter: cells, to be pasted one after the other. `with` would end with its cell.

Whatever happens to the prompt or the kernel, the services are gone soon after it.
"""

# %% the first cell
from contextlib import ExitStack

import psycopg

from servicectx import isolated, managed

services = ExitStack()
pg = services.enter_context(managed("postgres", linger=2))  # seconds for a restarted kernel to join it again

# %% use it, in as many cells as you like
connection = psycopg.connect(pg.url, autocommit=True)
connection.execute("create table if not exists visits (at timestamptz default now())")
connection.execute("insert into visits default values")
print(connection.execute("select count(*) from visits").fetchone())

# %% a database to play with, thrown away by the next line
with isolated(pg) as scratch, psycopg.connect(scratch.url) as other:
    print(other.execute("select current_database() like 'sc_%'").fetchone())

# %% the last cell, if you like to be tidy
connection.close()
services.close()
