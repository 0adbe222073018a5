"""Measure how the cost grows: with users, instances, databases, tables and workers; and the memory of an instance."""

import argparse
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import account, environment, footprint, machine, places, plot, process, rounds
from benchmarks.account import Account
from benchmarks.cases.stages import OURS
from benchmarks.curve import CURVES, Curve
from benchmarks.environment import Environment

Points = dict[str, dict[int, list[float]]]  # ms, by line and size

SMOKE = {"BENCH_TIMES": "1", "BENCH_TESTS": "4"}
FLAT = 2.0  # a line is flat if its last point is at most this multiple of its first one
_POINT = re.compile(r"^point (\w+) (\d+) (\d+\.\d+)$", re.MULTILINE)
_NOTE = re.compile(r"^note (.*)$", re.MULTILINE)


def main(argv: list[str]) -> None:
    """Run `python -m benchmarks scale` with these arguments."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.curve) - {*CURVES, footprint.NAME}:
        parser.error(f"no such curve: {', '.join(sorted(unknown))}")
    found: dict[str, Any] = {}
    measured: dict[str, Points] = {}
    with environment.made() as venv:
        found["machine"] = machine.line(venv.version)
        print(found["machine"])
        for name in arguments.curve or [*CURVES, footprint.NAME]:
            if name == footprint.NAME:
                found[name] = _memory(venv)
                continue
            curve = CURVES[name]
            points = found[name] = _measure(curve, _sizes(curve, arguments), venv, SMOKE if arguments.smoke else {})
            print(table(curve, points), flush=True)
            measured |= {name: points} if points else {}
    if arguments.plot:
        arguments.plot.write_text(plot.svg(measured, found["machine"]))
        print(f"\nwrote {arguments.plot}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks scale", description=__doc__)
    names = [*CURVES, footprint.NAME]
    parser.add_argument("curve", nargs="*", metavar="CURVE", help=f"of {', '.join(names)}")
    parser.add_argument("--smoke", action="store_true", help="the two smallest sizes, once")
    parser.add_argument("--max", type=int, default=5000, metavar="N", help="the largest size (default: all sizes)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write a plot of the curves to FILE, as SVG")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    return parser


def _sizes(curve: Curve, arguments: argparse.Namespace) -> tuple[int, ...]:
    return curve.sizes[:2] if arguments.smoke else curve.up_to(arguments.max)


def _measure(curve: Curve, sizes: tuple[int, ...], venv: Environment, variables: dict[str, str]) -> Points:
    user = account.unprivileged() if curve.unprivileged else account.me()
    with _work(user) as work:
        text = _output(venv, work, user, variables, curve.script, *map(str, sizes))
    for note in _NOTE.findall(text):
        print(f"{curve.name}: {note}")
    points: Points = {}
    for line, size, ms in _POINT.findall(text):
        points.setdefault(line, {}).setdefault(int(size), []).append(float(ms))
    return points


def _memory(venv: Environment) -> footprint.Footprint:
    user = account.unprivileged()
    with _work(user) as work:
        text = _output(venv, work, user, {}, "memory.py")
    found = footprint.parse(text)
    print(footprint.table(found), flush=True)
    return found


def _output(venv: Environment, work: Path, user: Account, extra: dict[str, str], script: str, *arguments: str) -> str:
    placeholders = {"base": str(work.parent), **venv.servers()}
    variables = {name: value.format(**placeholders) for name, value in OURS.items()}
    variables["BENCH_SCRIPTS"] = str(venv.scripts)
    command = [venv.python, str(venv.scripts / script), *arguments]
    return process.output(command, venv.variables | variables | extra, work, user)


@contextmanager
def _work(user: Account) -> Iterator[Path]:
    with places.directory(True, {account.me(), user}) as base:
        work = Path(tempfile.mkdtemp(prefix="", dir=rounds.account_directory(base, user)))
        user.own(work)
        yield work
        shutil.rmtree(work, ignore_errors=True)


def table(curve: Curve, points: Points) -> str:
    """The medians of a curve as text, and whether each line is flat."""
    lines = ["", f"{curve.name}: {curve.title} (median ms)"]
    sizes = sorted({size for by_size in points.values() for size in by_size})
    lines.append(f"  {curve.size:40}" + "".join(f"{size:>9}" for size in sizes))
    for name, by_size in points.items():
        medians = [median(by_size[size]) for size in sizes]
        growth = medians[-1] / medians[0]
        verdict = "flat" if growth <= FLAT else f"grows {growth:.1f} times"
        lines.append(f"    {name:38}" + "".join(f"{value:9.2f}" for value in medians) + f"  {verdict}")
    return "\n".join(lines)
