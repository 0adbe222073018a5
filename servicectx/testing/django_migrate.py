"""Django's `migrate`, on one database only: `python -m servicectx.testing.django_migrate PATTERNS PORT NAME HOST...`.

PATTERNS is the `depends` of the set-up, in JSON. Nothing is migrated if the settings name another server, such as a
developer's own, or a directory of migrations that no pattern matches.
"""

import json
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from servicectx.errors import InvalidOption
from servicectx.request.depends import ENVIRONMENT, Depends, depends_of
from servicectx.testing.targets import Target

PACKAGES = {"site-packages", "dist-packages"}  # directories of installed packages


def main(patterns: str, port: str, name: str, *hosts: str) -> None:
    import django
    from django.core.management import call_command
    from django.db import connection

    django.setup()
    depends = depends_of("django", json.loads(patterns))
    if missing := list(_unmatched(depends)):
        lines = "\n".join(f"  app {app}: {place}" for app, place in missing)
        sys.exit(
            f"nothing was migrated: no pattern of depends={list(depends.patterns)} matches these migrations, so a "
            f"change there would go unnoticed:\n{lines}\n"
            f"add each directory, relative to {depends.root}: django_setup(..., depends=[..., 'path/to/it'])"
        )
    wanted, found = [Target(host, port, name) for host in hosts], _target(connection)
    if not any(found.equals(target) for target in wanted):
        sys.exit(
            f"nothing was migrated: DATABASES['default'] of {os.environ['DJANGO_SETTINGS_MODULE']} is {found}, "
            f"and this instance is {wanted[0]}; let the settings read the variables of the service, such as PGHOST, "
            f"PGPORT, PGUSER, PGPASSWORD and PGDATABASE of postgres"
        )
    call_command("migrate", interactive=False)


def _unmatched(depends: Depends) -> Iterator[tuple[str, str]]:
    """Each app of the project whose migrations no pattern matches, and their directory."""
    try:
        depends.check()
    except InvalidOption:  # the patterns are relative to another project: managed(..., scope="project:DIR")
        return
    for app, place in _directories():
        if _is_of_project(place, depends.root) and not depends.covers(place):
            yield app, place


def _is_of_project(directory: str, root: Path) -> bool:
    """Whether a directory is below the project, and not in an environment or among packages, which have versions."""
    path, project = Path(directory).resolve(), root.resolve()
    if not path.is_relative_to(project) or not PACKAGES.isdisjoint(path.parts):
        return False
    folders = [folder for folder in path.parents if folder != project and folder.is_relative_to(project)]
    return not any((folder / ENVIRONMENT).exists() for folder in folders)


def _directories() -> Iterator[tuple[str, str]]:
    """Each app with migrations, and their directory, as `MIGRATION_MODULES` and the app name it."""
    from django.apps import apps
    from django.db.migrations.loader import MigrationLoader

    for app in apps.get_app_configs():
        module, _ = MigrationLoader.migrations_module(app.label)
        try:
            spec = find_spec(module) if module else None
        except ImportError:  # the migration reports it
            continue
        for place in (spec.submodule_search_locations or ()) if spec else ():
            yield app.label, place


def _target(connection: Any) -> Target:
    """The database of the open connection: client libraries combine settings, variables, files and defaults."""
    if connection.vendor == "postgresql":
        connection.ensure_connection()
        info = connection.connection.info
        return Target(info.host, str(info.port), info.dbname)
    if connection.vendor == "mysql":
        given = connection.get_connection_params()
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@port, DATABASE()")
            port, name = cursor.fetchone()
        return Target(str(given.get("unix_socket") or given.get("host") or ""), str(port), str(name))
    return Target("", "", str(connection.settings_dict["NAME"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
