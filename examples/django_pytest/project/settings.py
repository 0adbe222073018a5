import os
import sys

OFFLINE = sys.argv[1:2] in (["makemigrations"], ["check"])  # these commands need no server

DATABASES = {
    "default": {
        "ENGINE": f"django.db.backends.{'dummy' if OFFLINE else 'postgresql'}",
        "HOST": os.environ.get("PGHOST", ""),
        "PORT": os.environ.get("PGPORT", ""),
        "USER": os.environ.get("PGUSER", ""),
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
        "NAME": os.environ.get("PGDATABASE", ""),
    }
}
INSTALLED_APPS = ["shop"]
SECRET_KEY = "only for tests"  # noqa: S105
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
