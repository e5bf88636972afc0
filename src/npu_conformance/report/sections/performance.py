"""The engine's speed as `vllm bench` measured it; and seconds and memory of the judged run, which measure no speed."""

from collections.abc import Iterator

from npu_conformance.config.performance import LOGGED, PERCENTILES
from npu_conformance.measure.results import Result, worst
from npu_conformance.report.sections.blocks import Block, Cell, Code, Fold, Mark, Paragraph, Section, Table
from npu_conformance.report.sections.view import View, number
from npu_conformance.traces.performance import Figure, Performance, unit

_PERCENTILES = tuple(f"_p{one}_ms" for one in PERCENTILES)


def section(view: View) -> Section | None:
    """None where the engine told no times."""
    blocks = (*bench_blocks(view), *seen_blocks(view))
    return Section("performance", view.t("performance"), blocks) if blocks else None


def seen_blocks(view: View) -> tuple[Block, ...]:
    """What the judged run took."""
    table = performance_table(view)
    return (table, Paragraph(view.t("note_performance"))) if table.rows else ()


def speed_of(view: View) -> Performance | None:
    """What `vllm bench` measured of a model; None where nothing was."""
    return next((one.performance for one in view.model.variants if one.performance is not None), None)


def bench_blocks(view: View) -> tuple[Block, ...]:
    """Figures, how they were measured, what could not be, and the commands."""
    found = speed_of(view)
    if found is None:
        return ()
    asked = found.workload
    note = view.t("note_bench").format(
        input=asked.input_tokens,
        output=asked.output_tokens,
        concurrency=asked.concurrency,
        device=found.device,
        load="—" if found.load is None else found.load,
    )
    lines = [command for bench in found.tools.values() for command in bench.command]
    commands = (Fold(view.t("bench_commands"), (Code("\n".join(lines)),)),) if lines else ()
    tables = (one for one in (times_table(view, found), figures_table(view, found)) if one.rows)
    return (*tables, Paragraph(note), *commands)


def times_table(view: View, found: Performance) -> Table:
    """A row a time that requests have: its percentiles."""
    rows = []
    for name in (one.removesuffix("_p50_ms") for one in found.figures if one.endswith("_p50_ms")):
        names = [f"{name}_p{one}_ms" for one in PERCENTILES]
        figures = [found.figures.get(one) for one in names]
        ratios = [held for one in names if (held := _held(view, one)) is not None]
        texts = " / ".join(_ratio(one) for one in ratios) or "—"
        mark: Mark = worst(one.verdict for one in ratios) if ratios else ""
        values = [number("—" if one is None else shown(one)) for one in figures]
        tool = Cell(found.tool_of(names[0]) or "—")
        n = number(str(found.figures[names[0]].n))
        rows.append((Cell(view.t(name)), *values, n, tool, Cell(texts, mark)))
    columns = (view.t("bench_times"), *(f"P{one}, ms" for one in PERCENTILES), view.t("n"), view.t("tool"))
    return Table(view.t("bench"), (*columns, view.t("over_baseline")), tuple(rows))


def figures_table(view: View, found: Performance) -> Table:
    """A row for each other figure, then one a tool that gave none."""
    rows = []
    for name, figure in found.figures.items():
        if not name.endswith(_PERCENTILES):
            held = _held(view, name)
            ratio = number("—") if held is None else Cell(_ratio(held), held.verdict)
            value, n = number(shown(figure)), number(str(figure.n))
            rows.append((Cell(view.t(name)), value, Cell(unit(name)), n, Cell(found.tool_of(name) or "—"), ratio))
    for tool, why in _missing(view, found):
        said = f"{view.t('not_measured')}: {why}"
        rows.append((Cell(said), number("—"), Cell("—"), number("—"), Cell(tool), number("—")))
    columns = ("bench_others", "entry", "unit", "n", "tool", "over_baseline")
    return Table(view.t("bench"), tuple(map(view.t, columns)), tuple(rows))


def _missing(view: View, found: Performance) -> Iterator[tuple[str, str]]:
    """Tools that gave nothing, and what the server's log did not say."""
    for tool, why in found.not_measured.items():
        yield tool, view.phrase(why)
    for tool, why in found.failed.items():
        yield tool, view.phrase(why.partition("\n")[0])
    if "serve" in found.tools and (names := [one for one in LOGGED if one not in found.figures]):
        told = ("；" if view.language == "zh" else "; ").join(map(view.t, names))
        yield "serve", view.t("log_says_not").format(names=told)


def _held(view: View, figure: str) -> Result | None:
    """The ratio of a figure to the baseline's."""
    for one in view.checks("as_served"):
        if one.metric == "speed_over_baseline" and one.at == f"speed:{figure}" and one.observed is not None:
            return one
    return None


def shown(figure: Figure) -> str:
    """Its value in few digits."""
    return f"{figure.value:,.0f}" if figure.value >= 1000 else f"{figure.value:.4g}"


def performance_table(view: View) -> Table:
    """A row a variant that started an engine."""
    rows = []
    for one in view.model.variants:
        seconds, tokens = one.candidate.get("seconds", {}), sum(row.tokens for row in one.prompts)
        start, generate, memory = seconds.get("start"), seconds.get("generate"), one.candidate.get("peak_rss_gib")
        speed = f"{tokens / generate:.1f}" if generate and tokens else "—"
        texts = (_shown(start), _shown(generate), str(tokens or "—"), speed, _shown(memory))
        if start is not None or generate is not None:
            rows.append((Cell(one.variant), *map(number, texts)))
    columns = ("variant", "start", "generate_s", "n_tokens", "tokens_per_s", "peak_memory_gib")
    return Table(view.t("performance"), tuple(map(view.t, columns)), tuple(rows))


def _shown(value: float | None) -> str:
    return "—" if value is None else f"{value:g}"


def _ratio(held: Result) -> str:
    return f"{held.observed:.3f}" + ("" if held.limit is None else f" (≥ {held.limit:g})")
