"""Django wants DATABASES when it imports the settings, so that is where Postgres is started, or joined.

The test workers that `--parallel` forks use what their parent holds; those that it spawns import this file and join.
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
        "TEST": {"NAME": f"test_{os.getpid()}"},  # so that two runs at once get along on one server
    }
}
INSTALLED_APPS = ["shop"]
SECRET_KEY = "only for tests"  # noqa: S105
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
