"""Seconds and memory of the engine, as this run saw them: no measurement of speed."""

from npu_conformance.report.sections.blocks import Cell, Paragraph, Section, Table
from npu_conformance.report.sections.view import View, number


def section(view: View) -> Section | None:
    """None where the engine told no times."""
    table = performance_table(view)
    if not table.rows:
        return None
    return Section("performance", view.t("performance"), (table, Paragraph(view.t("note_performance"))))


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
