"""A curve: the cost of one act, measured while a number grows."""

from typing import NamedTuple


class Curve(NamedTuple):
    """A script prints `point LINE SIZE MS` for each of the sizes in its arguments, in growing order.

    `title` is the act, `size` the number that grows.
    """

    name: str
    title: str
    size: str
    sizes: tuple[int, ...]
    script: str
    unprivileged: bool = False

    def up_to(self, largest: int) -> tuple[int, ...]:
        return tuple(size for size in self.sizes if size <= largest)


CURVES = {
    curve.name: curve
    for curve in (
        Curve(
            "join",
            "join a running redis, and leave it",
            "users of the instance",
            (1, 4, 16, 64, 128, 256),
            "scale_join.py",
        ),
        Curve(
            "start",
            "cold start of redis",
            "other instances of this user that run",
            (0, 10, 30, 100, 200, 300),
            "scale_start.py",
        ),
        Curve(
            "databases",
            "isolated(): open and close a database",
            "open databases of the server",
            (1, 10, 100, 500, 1000, 2000),
            "scale_databases.py",
            unprivileged=True,
        ),
        Curve(
            "tables",
            "isolated(): open and close a database",
            "tables of the source",
            (1, 10, 100, 1000, 5000),
            "scale_tables.py",
            unprivileged=True,
        ),
        Curve(
            "workers",
            "pytest-xdist: 96 tests with a database each, whole run",
            "workers",
            (1, 2, 4, 8, 16, 32),
            "scale_workers.py",
            unprivileged=True,
        ),
    )
}
