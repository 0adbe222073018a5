"""Django reads DATABASES when it imports the settings, so this file starts or joins Postgres.

Test workers that `--parallel` forks use the instance of their parent. Spawned workers import this file and join it.
"""

import atexit
import os
from contextlib import ExitStack

from servicectx import managed

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
        "TEST": {"NAME": f"test_{os.getpid()}"},  # two concurrent runs share one server
    }
}
INSTALLED_APPS = ["shop"]
SECRET_KEY = "only for tests"  # noqa: S105
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
