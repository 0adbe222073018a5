"""The report: a table as text, and the same figures as JSON."""

from statistics import median
from typing import Any

from benchmarks.rounds import Outcome

Row = dict[str, Any]


def rows(outcome: Outcome) -> list[Row]:
    """One row for each stage and contender. Ratios are taken round by round, so that slow minutes cancel out."""
    found = []
    subject = outcome.times[outcome.case.subject.name]
    for stage in outcome.case.stages:
        for contender in outcome.case.contenders:
            row: Row = {"case": outcome.case.name, "stage": stage.name, "contender": contender.name}
            if contender.name in outcome.missing:
                found.append(row | {"missing": outcome.missing[contender.name]})
                continue
            own, times = subject[stage.name], outcome.times[contender.name][stage.name]
            row |= {"ms": times, "median": median(times), "min": min(times), "max": max(times)}
            if contender is not outcome.case.subject:
                row["subject_times"] = median(subject / other for subject, other in zip(own, times, strict=True))
            if bar := contender.bars.get(stage.name):
                value = median(bar.value(subject, other) for subject, other in zip(own, times, strict=True))
                row["bar"] = {"value": value, "limit": bar.limit, "kind": bar.kind, "passed": value <= bar.limit}
            found.append(row)
    return found


def table(outcome: Outcome) -> str:
    case = outcome.case
    rounds = len(next(iter(outcome.times[case.subject.name].values())))
    lines = [
        "",
        f"{case.name}: {case.title}",
        f"({rounds} rounds, {_noise(outcome)}; ratio: {case.subject.name} / the other)",
        f"  {'':34}{'median ms':>10}{'min':>9}{'max':>9}  {'ratio':>7}",
    ]
    stage = ""
    for row in rows(outcome):
        if row["stage"] != stage:
            stage = row["stage"]
            lines.append(f"  {stage}")
        lines.append(f"    {row['contender']:32}" + _figures(row))
    return "\n".join(lines)


def verdicts(found: list[Row]) -> tuple[int, int]:
    """The number of cleared bars, and of all bars."""
    bars = [row["bar"] for row in found if "bar" in row]
    return sum(bar["passed"] for bar in bars), len(bars)


def _noise(outcome: Outcome) -> str:
    return f"{outcome.disturbed} runs on a busy machine" if outcome.disturbed else "on a quiet machine"


def _figures(row: Row) -> str:
    if "missing" in row:
        return f"{'-':>10}  {row['missing']}"
    text = f"{row['median']:10.1f}{row['min']:9.1f}{row['max']:9.1f}"
    if row["median"] < 10:
        text = f"{row['median']:10.2f}{row['min']:9.2f}{row['max']:9.2f}"
    text += f"  {row['subject_times']:7.2f}x" if "subject_times" in row else f"  {'':8}"
    if bar := row.get("bar"):
        value = f"{bar['value']:.2f}x" if bar["kind"] == "times" else f"{bar['value']:.2f} {bar['kind']}"
        limit = f"{bar['limit']:g}x" if bar["kind"] == "times" else f"{bar['limit']:g} {bar['kind']}"
        text += f"  bar <= {limit}: {value} {'PASS' if bar['passed'] else 'MISS'}"
    return text
