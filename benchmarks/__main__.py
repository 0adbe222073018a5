"""Measure servicectx, a bare server and its peers in turn, and compare the times with the bars.

The first run creates an environment with the peers in .venv/bench; every run copies this checkout's servicectx.
`python -m benchmarks scale` measures how the cost grows.
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from benchmarks import environment, machine, process, report, rounds, scale
from benchmarks.cases import CASES
from benchmarks.environment import Environment
from benchmarks.rounds import Rounds


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that directories are removed
    if sys.argv[1:2] == ["scale"]:
        try:
            return scale.main(sys.argv[2:])
        except process.Failed as error:
            raise SystemExit(str(error)) from None
    parser = _parser()
    arguments = parser.parse_args()
    if unknown := set(arguments.case) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    how = Rounds(arguments.rounds, patience=arguments.patience)
    if arguments.smoke:
        how = Rounds(1, warm_up=0, patience=0.0, smoke=True)
    with environment.made() as venv:
        failed = _measure(arguments, how, venv)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, epilog=_cases())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("case", nargs="*", metavar="CASE", help="cases to run (default: all)")
    parser.add_argument("--rounds", type=int, default=11, metavar="N", help="rounds of each case (default 11)")
    parser.add_argument("--smoke", action="store_true", help="one small round of each case; its figures mean nothing")
    parser.add_argument(
        "--patience",
        type=float,
        default=3.0,
        metavar="S",
        help="seconds to wait for a quiet moment (default 3; 0: never)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure to FILE")
    return parser


def _measure(arguments: argparse.Namespace, how: Rounds, venv: Environment) -> list[str]:
    """Run the cases and print their tables; the names of cases that failed."""
    line = machine.line(venv.version)
    print(f"{line}; servers: {venv.servers()}")
    figures: list[report.Row] = []
    bars: list[report.Row] = []
    failed = []
    for name in arguments.case or CASES:
        case = CASES[name]()._replace(name=name)
        if case.missing:
            print(f"\n{name}: skipped: {case.missing}")
            continue
        try:
            outcome = rounds.measure(case, venv, how, _progress)
        except process.Failed as error:
            print(f"\n{name}: failed: {error}", flush=True)
            failed.append(name)
            continue
        _progress("")
        for reason in outcome.missing.values():
            print(f"{name}: {reason}")
        print(f"{name}: ran" if how.smoke else report.table(outcome), flush=True)
        figures += report.rows(outcome)
        bars += report.bars(outcome)
    if how.smoke:
        return failed
    passed, measured = report.cleared(bars)
    load = "" if not hasattr(os, "getloadavg") else f"; load of the last 15 minutes: {os.getloadavg()[2]:.1f}"
    print(f"\n{passed} of {measured} bars cleared{load}\n")
    print(report.markdown(bars, line, how.number))
    if arguments.json:
        found = {"machine": line, "figures": figures, "bars": bars}
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    return failed


def _cases() -> str:
    return "cases:\n" + "\n".join(f"  {name:20} {make().title}" for name, make in CASES.items())


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
