"""Django reads DATABASES when it imports the settings, so this file starts or joins Postgres.

Test workers that `--parallel` forks use the instance of their parent. Spawned workers import this file and join it.
"""

import atexit
import os
import sys
from contextlib import ExitStack

from servicectx import managed

OFFLINE = sys.argv[1:2] in (["makemigrations"], ["check"])  # these commands start no server

if OFFLINE:
    DATABASES = {"default": {"ENGINE": "django.db.backends.dummy"}}
else:
    services = ExitStack()
    atexit.register(services.close)  # the last process out stops the server
    pg = services.enter_context(managed("postgres", name="shop"))
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": pg.host,
            "PORT": pg.port,
            "USER": pg.user,
            "PASSWORD": pg.password,
            "NAME": pg.dbname,
            # two concurrent runs share one server; with --keepdb the next run finds the database by its name
            "TEST": {"NAME": "test_shop" if "--keepdb" in sys.argv else f"test_{os.getpid()}"},
        }
    }
INSTALLED_APPS = ["shop"]
SECRET_KEY = "only for tests"  # noqa: S105
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
