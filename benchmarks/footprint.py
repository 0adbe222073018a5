"""The memory of one instance: its keeper, its watchdog, and the prefetcher that it has on demand."""

import re
from typing import NamedTuple

NAME = "memory"
LIMIT = 25.0  # MiB of proportional set size for the three together
_LINE = re.compile(r"^memory (\w+) (\d+) (\d+)$", re.MULTILINE)


class Footprint(NamedTuple):
    """MiB of resident and of proportional set size, by process."""

    rss: dict[str, float]
    pss: dict[str, float]


def parse(text: str) -> Footprint:
    """The lines `memory PROCESS RSS PSS`, in kB."""
    found = _LINE.findall(text)
    rss = {name: int(kilobytes) / 1024 for name, kilobytes, _ in found}
    pss = {name: int(kilobytes) / 1024 for name, _, kilobytes in found}
    return Footprint(rss, pss)


def table(found: Footprint) -> str:
    """The figures as text, with the verdict on the sum."""
    lines = ["", "memory of one postgres with isolated databases, without the server (MiB)"]
    lines.append(f"  {'':14}{'RSS':>8}{'PSS':>8}")
    for name, rss in found.rss.items():
        lines.append(f"  {name:14}{rss:8.1f}{found.pss[name]:8.1f}")
    total = sum(found.pss.values())
    verdict = "pass" if total <= LIMIT else "MISS"
    lines.append(f"  {'together':14}{sum(found.rss.values()):8.1f}{total:8.1f}  bar: PSS <= {LIMIT:g} MiB: {verdict}")
    return "\n".join(lines)
