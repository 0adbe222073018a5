"""Measure servicectx, a bare server and its peers in turn, and compare the times with the bars.

The first run creates an environment with the peers in .venv/bench; every run copies this checkout's servicectx into it.
"""

import argparse
import json
import os
import platform
import signal
import sys
from pathlib import Path

from benchmarks import environment, report, rounds
from benchmarks.cases import CASES


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, epilog=_cases())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("case", nargs="*", metavar="CASE", help="cases to run (default: all)")
    parser.add_argument("--rounds", type=int, default=11, metavar="N", help="rounds of each case (default 11)")
    parser.add_argument(
        "--patience",
        type=float,
        default=3.0,
        metavar="S",
        help="seconds to wait for a quiet moment (default 3; 0: never)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure to FILE")
    arguments = parser.parse_args()
    if unknown := set(arguments.case) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that directories are removed
    venv = environment.make()
    print(f"Python {platform.python_version()} here, {os.cpu_count()} cores; servers: {venv.servers()}")
    found: list[report.Row] = []
    for name in arguments.case or CASES:
        case = CASES[name]()
        if case.missing:
            print(f"\n{name}: skipped: {case.missing}")
            continue
        outcome = rounds.measure(case, venv, arguments.rounds, arguments.patience, _progress)
        _progress("")
        print(report.table(outcome), flush=True)
        found += report.rows(outcome)
    cleared, bars = report.verdicts(found)
    print(f"\n{cleared} of {bars} bars cleared")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


def _cases() -> str:
    return "cases:\n" + "\n".join(f"  {name:16} {make().title}" for name, make in CASES.items())


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
