"""The report: a table of each case as text, the bars as Markdown, and all figures for JSON."""

from statistics import median
from typing import Any

from benchmarks.case import Bar
from benchmarks.rounds import Outcome

Row = dict[str, Any]
MORE_MS = 5.0  # the absolute part of a bar "times or 5 ms"


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
            found.append(row)
    return found


def bars(outcome: Outcome) -> list[Row]:
    """One row for each bar, with its verdict: "pass", "MISS", or the reason why it was not measured."""
    return [_bar(outcome, bar) for bar in outcome.case.bars]


def _bar(outcome: Outcome, bar: Bar) -> Row:
    row: Row = {"case": outcome.case.name, "stage": bar.label or bar.stage, "subject": bar.subject, "peer": bar.peer}
    row |= {"limit": bar.limit, "kind": bar.kind}
    if reasons := [outcome.missing[name] for name in bar.contenders if name in outcome.missing]:
        return row | {"verdict": f"not measured: {reasons[0]}"}
    times = {name: outcome.times[name][bar.stage] for name in bar.contenders}
    subject = times[bar.subject]
    peer = times[bar.peer] if bar.peer else []
    if bar.less is not None:
        subject, peer = _less(subject, times[bar.less[0]]), _less(peer, times[bar.less[1]])
    row["subject_ms"] = median(subject)
    if bar.kind == "ms":
        return row | {"value": median(subject), "verdict": _verdict(median(subject) <= bar.limit)}
    row["peer_ms"] = median(peer)
    if bar.less is not None:  # a difference of one round is noisy
        ratio = median(subject) / median(peer)
    else:
        ratio = median(own / other for own, other in zip(subject, peer, strict=True))
    passed = ratio <= bar.limit
    if bar.kind == "times or 5 ms":
        passed = passed or median(own - other for own, other in zip(subject, peer, strict=True)) <= MORE_MS
    return row | {"value": ratio, "verdict": _verdict(passed)}


def _less(times: list[float], others: list[float]) -> list[float]:
    return [time - other for time, other in zip(times, others, strict=True)]


def _verdict(passed: bool) -> str:
    return "pass" if passed else "MISS"


def table(outcome: Outcome) -> str:
    case = outcome.case
    rounds = len(next(iter(outcome.times[case.subject.name].values())))
    lines = [
        "",
        f"{case.name}: {case.title}",
        f"({rounds} rounds, {_noise(outcome)}; ratio: {case.subject.name} / the other)",
        f"  {'':44}{'median ms':>10}{'min':>9}{'max':>9}  {'ratio':>7}",
    ]
    stage = ""
    for row in rows(outcome):
        if row["stage"] != stage:
            stage = row["stage"]
            lines.append(f"  {stage}")
        lines.append(f"    {row['contender']:42}" + _figures(row))
    for row in bars(outcome):
        lines.append(f"  bar: {row['stage']}: {_against(row)} {_limit(row)}: {_value(row)} {row['verdict']}")
    return "\n".join(lines)


def _against(row: Row) -> str:
    return f"{row['subject']} / {row['peer']}" if row["peer"] else str(row["subject"])


def markdown(found: list[Row], machine: str, rounds: int) -> str:
    """All bars as a table in Markdown, to paste. `machine`: one line about machine, Python and date."""
    lines = [
        f"Measured on {machine}; medians of {rounds} round{'s' if rounds > 1 else ''}.",
        "",
        "| case | measured | servicectx | floor or peer | ratio | limit | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found:
        own = f"{_ms(row['subject_ms'])} ({row['subject']})" if "subject_ms" in row else row["subject"]
        peer = f"{_ms(row['peer_ms'])} ({row['peer']})" if "peer_ms" in row else row["peer"] or "-"
        cells = (row["case"], row["stage"], own, peer, _value(row), _limit(row), row["verdict"])
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _ms(value: float) -> str:
    return f"{value / 1000:.1f} s" if value >= 10000 else f"{value:.0f} ms" if value >= 10 else f"{value:.2f} ms"


def _value(row: Row) -> str:
    if "value" not in row:
        return "-"
    return _ms(row["value"]) if row["kind"] == "ms" else f"{row['value']:.2f}"


def _limit(row: Row) -> str:
    unit = {"ms": " ms", "times": "", "times or 5 ms": " or 5 ms more"}[row["kind"]]
    return f"<= {row['limit']:g}{unit}"


def cleared(found: list[Row]) -> tuple[int, int]:
    """The number of cleared bars, and of all bars that were measured."""
    measured = [row for row in found if "value" in row]
    return sum(row["verdict"] == "pass" for row in measured), len(measured)


def _noise(outcome: Outcome) -> str:
    if outcome.disturbed is None:
        return "the load of the machine was not looked at"
    return f"{outcome.disturbed} runs on a busy machine" if outcome.disturbed else "on a quiet machine"


def _figures(row: Row) -> str:
    if "missing" in row:
        return f"{'-':>10}  {row['missing']}"
    text = f"{row['median']:10.1f}{row['min']:9.1f}{row['max']:9.1f}"
    if row["median"] < 10:
        text = f"{row['median']:10.2f}{row['min']:9.2f}{row['max']:9.2f}"
    return text + (f"  {row['subject_times']:7.2f}x" if "subject_times" in row else "")
