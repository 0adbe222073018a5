"""Cells for a Python prompt, IPython or Jupyter, to run one after the other. `with` would end with its cell.

The services end soon after the prompt or the kernel, even after a crash.
"""

# %% the first cell
from contextlib import ExitStack

import psycopg

from servicectx import isolated, managed

services = ExitStack()
pg = services.enter_context(managed("postgres", linger=2))  # seconds: a restarted kernel can join it again

# %% any number of cells that use it
connection = psycopg.connect(pg.url, autocommit=True)
connection.execute("create table if not exists visits (at timestamptz default now())")
connection.execute("insert into visits default values")
print(connection.execute("select count(*) from visits").fetchone())

# %% a scratch database, removed at the end of the block
with isolated(pg) as scratch, psycopg.connect(scratch.url) as other:
    print(other.execute("select current_database() like 'sc_%'").fetchone())

# %% the last cell, optional
connection.close()
services.close()
