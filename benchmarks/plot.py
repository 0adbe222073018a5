"""A plot of the curves as SVG: one panel for each curve, logarithmic sizes, ms from zero."""

import math
from statistics import median
from typing import NamedTuple
from xml.sax.saxutils import escape

from benchmarks.curve import CURVES

WIDTH, HEIGHT, COLUMNS = 420, 250, 2
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 48, 44
FONT = 'font-family="sans-serif" font-size="11"'
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd")


class Panel(NamedTuple):
    """The scales of one panel. `sizes`: of the curve; `highest`: the end of the axis, in ms."""

    sizes: list[int]
    highest: float

    def x(self, size: int) -> float:
        first, last = math.log(self.sizes[0] + 1), math.log(self.sizes[-1] + 1)
        share = (math.log(size + 1) - first) / (last - first) if last > first else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, ms: float) -> float:
        return HEIGHT - BOTTOM - ms / self.highest * (HEIGHT - TOP - BOTTOM)


def svg(curves: dict[str, dict[str, dict[int, list[float]]]], caption: str) -> str:
    """The SVG text. `curves`: ms by curve, line and size."""
    rows = math.ceil(len(curves) / COLUMNS)
    width, height = WIDTH * COLUMNS, HEIGHT * rows + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" {FONT}>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, (name, lines) in enumerate(curves.items()):
        left, top = number % COLUMNS * WIDTH, number // COLUMNS * HEIGHT
        parts += [f'<g transform="translate({left} {top})">', *_panel(name, lines), "</g>"]
    parts += [_text(LEFT, height - 8, f"medians; {caption}"), "</svg>"]
    return "\n".join(parts) + "\n"


def _panel(name: str, lines: dict[str, dict[int, list[float]]]) -> list[str]:
    curve = CURVES[name]
    medians = {line: {size: median(ms) for size, ms in by_size.items()} for line, by_size in lines.items()}
    sizes = sorted({size for by_size in medians.values() for size in by_size})
    panel = Panel(sizes, _round_up(max(ms for by_size in medians.values() for ms in by_size.values())))
    parts = [_text(LEFT, 16, curve.title, weight="bold"), *_axes(panel, curve.size)]
    for number, (line, by_size) in enumerate(medians.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{panel.x(size):.1f},{panel.y(ms):.1f}" for size, ms in sorted(by_size.items()))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{panel.x(size):.1f}" cy="{panel.y(ms):.1f}" r="3" fill="{colour}"/>'
            for size, ms in by_size.items()
        ]
        parts.append(_text(LEFT + number * 120, 34, line.replace("_", " "), colour=colour))
    return parts


def _axes(panel: Panel, size: str) -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="#888"/>']
    for share in (0, 0.5, 1):
        ms = panel.highest * share
        parts.append(_text(LEFT - 6, panel.y(ms) + 4, f"{ms:g} ms", anchor="end"))
        parts.append(f'<path d="M{LEFT} {panel.y(ms):.1f}H{right}" stroke="#eee"/>')
    parts += [_text(panel.x(value), bottom + 16, str(value), anchor="middle") for value in panel.sizes]
    parts.append(_text((LEFT + right) / 2, bottom + 34, size, anchor="middle"))
    return parts


def _round_up(value: float) -> float:
    """The next of 1, 2, 4 or 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 4, 10) if factor * power >= value)


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal", colour: str = "#222") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="{colour}">'
        f"{escape(text)}</text>"
    )
