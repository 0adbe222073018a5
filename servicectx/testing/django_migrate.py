"""Django's `migrate`, on one database only: `python -m servicectx.testing.django_migrate PORT NAME HOST...`.

Settings may name another server, such as a developer's own. Then nothing is migrated.
"""

import os
import sys
from typing import Any

from servicectx.testing.targets import Target


def main(port: str, name: str, *hosts: str) -> None:
    import django
    from django.core.management import call_command
    from django.db import connection

    django.setup()
    wanted, found = [Target(host, port, name) for host in hosts], _target(connection)
    if not any(found.equals(target) for target in wanted):
        sys.exit(
            f"nothing was migrated: DATABASES['default'] of {os.environ['DJANGO_SETTINGS_MODULE']} is {found}, "
            f"and this instance is {wanted[0]}; let the settings read the variables of the service, such as PGHOST, "
            f"PGPORT, PGUSER, PGPASSWORD and PGDATABASE of postgres"
        )
    call_command("migrate", interactive=False)


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
