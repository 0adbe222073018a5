"""Set-ups for the migrations of Alembic and Django, with the files that they depend on."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from servicectx.request.project import project
from servicectx.testing.connections import only_to
from servicectx.testing.targets import targets


@dataclass(frozen=True)
class AlembicSetup:
    """See `alembic_setup`."""

    config: str
    revision: str

    @property
    def setup_label(self) -> str:
        """The name of the set-up in messages."""
        return f"Alembic's upgrade to {self.revision} ({self.config})"

    def __call__(self, details: Any) -> None:
        """Upgrade the database. The URL of the configuration is replaced by `details.sqlalchemy_url`.

        Raises RuntimeError, and changes nothing, if `env.py` connects to another database.
        """
        from alembic import command

        config = self._config()
        config.set_main_option("sqlalchemy.url", details.sqlalchemy_url.replace("%", "%%"))
        with only_to(targets(details)):
            command.upgrade(config, self.revision)

    @property
    def depends(self) -> list[str]:
        """The configuration file, the directory of the migrations, and the directories of versions beside it."""
        from alembic.script import ScriptDirectory

        config = self._config()
        script = ScriptDirectory.from_config(config)
        places = [os.path.abspath(place) for place in (script.dir, *(script.version_locations or ()))]
        return [str(config.config_file_name), *dict.fromkeys(places)]

    def _config(self) -> Any:
        from alembic.config import Config

        return Config(os.path.join(project(), self.config))


def alembic_setup(config: str | os.PathLike[str] = "alembic.ini", revision: str = "head") -> AlembicSetup:
    """A set-up that runs Alembic's upgrade, for `managed(setup=...)` and `isolated(setup=...)`.

    It depends on the configuration file and on all files in the directories of the migrations. `env.py` must connect to
    the option `sqlalchemy.url`, and close its connections: Alembic's templates do. With another database the set-up
    fails before it changes anything.

    Args:
        config: Alembic's configuration file, relative to the project.
        revision: the target of the upgrade.
    """
    return AlembicSetup(os.fspath(config), revision)


@dataclass(frozen=True)
class DjangoSetup:
    """See `django_setup`."""

    settings: str
    depends: tuple[str, ...]

    @property
    def setup_label(self) -> str:
        """The name of the set-up in messages."""
        return f"Django's migrations ({self.settings})"

    def __call__(self, details: Any) -> None:
        """Run `migrate` in a process of its own, because the settings may be imported only once in a process.

        Raises RuntimeError if it fails, and, before it changes anything, if the settings name another database, or
        migrations that no pattern of `depends` matches.
        """
        name = "".join(letter if letter.isalnum() else "_" for letter in details.name.upper())
        variables = {
            "DJANGO_SETTINGS_MODULE": self.settings,
            f"SERVICECTX_{name}_DETAILS": details.model_dump_json(),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(project()), os.environ.get("PYTHONPATH")])),
        }
        wanted = targets(details)
        target = (json.dumps(self.depends), wanted[0].port, wanted[0].name, *(each.host for each in wanted))
        done = subprocess.run(
            [sys.executable, "-m", "servicectx.testing.django_migrate", *target],
            env=details.environment() | variables,
            cwd=project(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"django migrate ended with status {done.returncode}:\n{done.stdout}{done.stderr}")


def django_setup(settings: str, depends: tuple[str, ...] | list[str] = ("**/migrations",)) -> DjangoSetup:
    """A set-up that runs Django's `migrate`, for `managed(setup=...)`.

    The settings get the details in `SERVICECTX_<NAME>_DETAILS`, so that `managed()` in them uses the server that is
    being set up, and in the usual variables of the service. If they name another database, or an app has migrations
    that no pattern matches, the set-up fails before it changes anything. Migrations in installed packages need no
    pattern.

    Args:
        settings: the module of the settings, such as "project.settings", importable from the project directory.
        depends: patterns of the migrations and of the files that they read. Add the directories that
            `MIGRATION_MODULES` names, and a lock file if apps of other packages have migrations.
    """
    return DjangoSetup(settings, tuple(depends))
