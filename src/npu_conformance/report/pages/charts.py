"""Charts as SVG, drawn once for all languages and both colour schemes.

Words are placeholders that the page replaces; colours are replaced by variables of the page's style. Text stays
text, so that a page can set its font and a reader can search it.
"""

import io
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from npu_conformance.report.sections.blocks import Bullets, Chart, Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Stand-ins by the variable of the page's style that takes their place.
_INK, _SOFT, _GRID, _FAIL = "#010101", "#020202", "#030303", "#040404"
_SERIES = ("#0a0a01", "#0a0a02", "#0a0a03", "#0a0a04")
_VARIABLES = {_INK: "--ink", _SOFT: "--soft", _GRID: "--grid", _FAIL: "--fail"} | {
    colour: f"--series{place}" for place, colour in enumerate(_SERIES)
}
# Of lines, so that they differ without colour too; matplotlib's names.
_DASHES = ("solid", (0, (5, 1.5)), (0, (1.5, 1.5)), "solid")
_WIDTH = 4.6
_SETTINGS: Any = {"svg.fonttype": "none", "font.size": 9, "axes.linewidth": 0.6, "path.simplify": True}
_SIGNS = {"pass": "✓", "fail": "✗", "inconclusive": "?"}
_SHORT = 3
"""Letters of a name that stands upright."""
_FURTHEST = 1.6
"""Share of the limit at which bars are cut."""


@lru_cache(maxsize=256)
def chart_svg(chart: Chart) -> str:
    """A chart with axes."""
    from matplotlib import rc_context

    with rc_context(_SETTINGS | {"svg.hashsalt": chart.name}):
        figure = _figure(2.5, left=0.6, bottom=0.8 if chart.names else 0.5)
        axes = figure.add_subplot()
        for place, line in enumerate(chart.lines):
            _draw(axes, line, place, named=bool(chart.names))
        axes.set_xlabel(f"@@{chart.x}@@", color=_INK)
        axes.set_ylabel(f"@@{chart.y}@@", color=_INK)
        _scale(axes, chart)
        if chart.names:
            _name_places(axes, chart.names)
        highest = max((max(line.y) for line in chart.lines if line.y), default=1.0)
        lowest = min((min(line.y) for line in chart.lines if line.y), default=0.0)
        axes.set_ylim(min(0.0, lowest), 1.08 * highest or 1)
        _style(axes)
        return _svg(figure, chart.name)


@lru_cache(maxsize=256)
def bullets_svg(bullets: Bullets) -> str:
    """Gates one under another, each as a share of its limit."""
    from matplotlib import rc_context

    with rc_context(_SETTINGS | {"svg.hashsalt": bullets.name}):
        count = len(bullets.bullets)
        figure = _figure(0.55 + 0.36 * count, left=0.08, bottom=0.48)
        axes = figure.add_subplot()
        for place, one in enumerate(bullets.bullets):
            at, share = count - 1 - place, min(one.observed, _FURTHEST)
            colour = _FAIL if one.mark == "fail" else _SERIES[0]
            axes.barh(at, _FURTHEST, height=0.34, color=_GRID, alpha=0.5, linewidth=0)
            axes.barh(at, share, height=0.34, color=colour, linewidth=0)
            if one.interval is not None:
                ends = [min(max(end, 0.0), _FURTHEST) for end in one.interval]
                axes.plot(ends, [at, at], color=_INK, linewidth=1)
            if one.floor is not None:
                axes.plot(
                    [min(one.floor, _FURTHEST)], [at], marker="D", markersize=4, color=_SERIES[1], mec=_INK, mew=0.5
                )
            axes.text(0, at + 0.25, f"@@{one.name}@@", fontsize=8, color=_INK, va="bottom")
            shown = f"{_SIGNS.get(one.mark, '')} {_percent(one.observed)}"
            axes.text(_FURTHEST, at + 0.25, shown, fontsize=8, color=_INK, va="bottom", ha="right")
        axes.axvline(1, color=_INK, linewidth=1.2, linestyle="--")
        axes.set_xlim(0, _FURTHEST)
        axes.set_ylim(-0.4, count - 0.1)
        axes.set_yticks([])
        axes.set_xticks([0, 0.5, 1, 1.5], ["0", "50", "100", "150"])
        axes.set_xlabel("@@c_share@@", color=_INK)
        _style(axes)
        axes.spines["left"].set_visible(False)
        return _svg(figure, bullets.name)


def placeholders(svg: str) -> set[str]:
    """The keys that a chart has in place of words."""
    return set(re.findall(r"@@(\w+)@@", svg))


def colour_of(place: int, line: Line) -> str:
    """The variable that a series' colour is, for a legend."""
    return "--ink" if line.style == "limit" and line.name == "c_limit" else f"--series{place % len(_SERIES)}"


def _percent(share: float) -> str:
    return f"{100 * share:,.0f} %" if share >= 1 else f"{100 * share:.3g} %"


def _figure(height: float, *, left: float, bottom: float) -> "Figure":
    """A figure of a height with room at two sides, in inches: a layout that measures text takes long."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height))
    figure.subplots_adjust(left / _WIDTH, bottom / height, 1 - 0.1 / _WIDTH, 1 - 0.08 / height)
    return figure


def _draw(axes: "Axes", line: Line, place: int, *, named: bool) -> None:
    colour = _INK if line.name == "c_limit" else _SERIES[place % len(_SERIES)]
    x, y = list(line.x), list(line.y)
    if line.style == "dots":
        axes.plot(x, y, "o", markersize=3.5, color=colour, mew=0)
    elif line.style == "steps":
        axes.plot(x, y, drawstyle="steps-post" if not named else "default", color=colour, linewidth=1.3)
    elif line.style == "bars":
        if named:
            axes.bar(x, y, width=0.6, color=colour, alpha=0.75, linewidth=0)
        else:
            axes.stairs(y, [*x, 2 * x[-1] - x[-2]], fill=True, color=colour, alpha=0.75, linewidth=0)
    elif line.style == "limit" and line.name != "c_limit":
        axes.plot(x, y, "_", markersize=16, mew=2, color=colour)
    elif line.style == "limit":
        axes.axhline(y[0], color=colour, linewidth=1, linestyle="--")
    else:
        marker = "o" if len(x) <= 12 else None
        dash = _DASHES[place % len(_DASHES)]
        axes.plot(x, y, color=colour, linewidth=1.4, marker=marker, markersize=3, linestyle=dash)


def _scale(axes: "Axes", chart: Chart) -> None:
    """Decimal numbers at 1, 2 and 5 of a logarithmic axis; whole ones at a linear one."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

    if chart.log == "x":
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    elif not chart.names:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))


def _name_places(axes: "Axes", names: tuple[str, ...]) -> None:
    step = 1 + len(names) // 14
    shown = range(0, len(names), step)
    # A name may hold what matplotlib takes for a formula.
    labels = [names[place].replace("$", "\\$")[:14] for place in shown]
    slanted = max(map(len, labels)) > _SHORT
    axes.set_xticks(list(shown), labels, rotation=30 if slanted else 0, ha="right" if slanted else "center")


def _style(axes: "Axes") -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_SOFT)
    axes.tick_params(colors=_SOFT, labelcolor=_INK, width=0.6, which="both")
    axes.grid(axis="both", color=_GRID, linewidth=0.5)
    axes.set_axisbelow(True)


def _svg(figure: "Figure", name: str) -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    FigureCanvasSVG(figure)
    file = io.StringIO()
    figure.savefig(
        file, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(
        r' id="(?:figure|axes|patch|matplotlib\.axis|xtick|ytick|line2d|text|legend|PathCollection)_\d+"', "", text
    )
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    # The page's font; sizes stay.
    text = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return _unique(text, name)


def _unique(text: str, name: str) -> str:
    """Ids that no other chart of a page has."""
    for found in sorted(set(re.findall(r' id="([^"]+)"', text)), key=len, reverse=True):
        text = text.replace(f'"{found}"', f'"{name}-{found}"').replace(f"#{found}", f"#{name}-{found}")
    return text
