"""Two plots as SVG: the rates of all candidates, and how far each row is from its goal."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from bench.report.lines import Line, three_digits

_WIDTH, _LABEL_WIDTH, _BAR_HEIGHT, _ROW_HEIGHT = 860, 330, 18, 26
_OUR_BLUE, _PEER_GREY, _MISSED_RED = "#1b6ca8", "#9aa5b1", "#c0392b"
_MARGIN = 40
_SVG = "http://www.w3.org/2000/svg"


def rates(found: Mapping[str, float]) -> str:
    """Return the items a second of each candidate, on a logarithmic scale from 10 up."""
    top = max(2, math.ceil(math.log10(max(found.values()))))
    bars = []
    for number, (name, rate) in enumerate(sorted(found.items(), key=lambda pair: pair[1])):
        share = (math.log10(rate) - 1) / (top - 1)
        bars.append(
            _bar(number, name, max(share, 0.0), (f"{rate:,.0f}", _OUR_BLUE if name == "Limpet" else _PEER_GREY))
        )
    ticks = [((power - 1) / (top - 1), f"{10**power:,}") for power in range(1, top + 1)]
    return _plot("items a second, batches of 1,000 (logarithmic)", bars, ticks)


def goals(lines: Sequence[Line]) -> str:
    """Return measured over goal for each line with a goal; above 1 is better than the goal, cut at 4."""
    bars = []
    for number, line in enumerate(line for line in lines if line.goal is not None):
        assert line.goal is not None
        measured = line.ratio if line.ratio is not None else max(line.ours)
        better = measured / line.goal.bound if line.goal.sense == "≥" else line.goal.bound / measured
        colour = _OUR_BLUE if line.reached else _MISSED_RED
        text = f"{three_digits(measured)} ({line.goal.sense} {line.goal.bound:g})"
        bars.append(_bar(number, f"{line.row}  {line.what}", min(better, 4.0) / 4, (text, colour)))
    return _plot("measured against the goal (1 = just reached)", bars, [(n / 4, f"{n}") for n in range(5)])


def _bar(number: int, name: str, share: float, shown: tuple[str, str]) -> str:
    text, colour = shown
    y = _MARGIN + number * _ROW_HEIGHT
    length = round(share * (_WIDTH - _LABEL_WIDTH - 130))
    return (
        f'<text x="{_LABEL_WIDTH - 8}" y="{y + 13}" text-anchor="end">{escape(name[:60])}</text>'
        f'<rect x="{_LABEL_WIDTH}" y="{y}" width="{max(length, 1)}" height="{_BAR_HEIGHT}" fill="{colour}"/>'
        f'<text x="{_LABEL_WIDTH + length + 6}" y="{y + 13}">{escape(text)}</text>'
    )


def _plot(title: str, bars: Sequence[str], ticks: Sequence[tuple[float, str]]) -> str:
    height = _MARGIN + len(bars) * _ROW_HEIGHT + 24
    lines = []
    for share, text in ticks:
        x = _LABEL_WIDTH + round(share * (_WIDTH - _LABEL_WIDTH - 130))
        lines.append(
            f'<line x1="{x}" y1="{_MARGIN - 6}" x2="{x}" y2="{height - 20}" stroke="#d5dae0"/>'
            f'<text x="{x}" y="{height - 6}" text-anchor="middle" fill="#667">{text}</text>'
        )
    return "\n".join(
        [
            f'<svg xmlns="{_SVG}" width="{_WIDTH}" height="{height}" style="font: 12px sans-serif">',
            f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
            f'<text x="{_LABEL_WIDTH}" y="20" font-size="14">{escape(title)}</text>',
            *lines,
            *bars,
            "</svg>\n",
        ]
    )
