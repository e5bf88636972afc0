"""Tables as a card has them: what a page shows in full, cut to what somebody looks for, by `MOST`."""

from dataclasses import replace

from npu_conformance.measure.results import worst
from npu_conformance.report.details import VariantDetails
from npu_conformance.report.sections.answers import answer_table
from npu_conformance.report.sections.blocks import Block, Cell, Items, Paragraph, Table
from npu_conformance.report.sections.determinism import REPEATED, batch_table
from npu_conformance.report.sections.environment import environment_table
from npu_conformance.report.sections.errors import prompt_table
from npu_conformance.report.sections.gates import figure_blocks, gate_table
from npu_conformance.report.sections.layers import layer_table
from npu_conformance.report.sections.reproduce import provenance_table
from npu_conformance.report.sections.ruled_out import ruled_out_table
from npu_conformance.report.sections.view import View, number
from npu_conformance.report.sections.weights import (
    audit_table,
    conversion_table,
    parameter_name,
    parameter_table,
    statistics_tables,
)
from npu_conformance.report.words import place

MOST = {
    "failures": 12, "prompts": 7, "labels": 7, "answers": 5, "gates": 6, "layers": 12, "faults": 6, "tensors": 3,
    "claims": 10, "performance": 2, "others": 40,
}  # fmt: skip
"""Rows that a card has of a table, as docs/report.md says. Prompts and labels: as many as published cards have.

Of labels, answers and gates it has besides all that failed, however many these are; of prompts and failures it has not.
"""
_COLUMNS = 6
"""Of the table of prompts: as published cards have them."""
_SEEN_IN_OTHER_TABLES = ("timings", "peak_memory")
"""Rows of the environment that the table of time and memory has."""
_COUNTED = ("tensors", "weight_files")
"""Parameters that are a page's; as the config's digest is."""
_TAIL = ("kl_p99", "kl_max")
"""Figures that no published card has and nothing judges."""


def environment(view: View, one: VariantDetails) -> Table:
    """Both sides; what both have alike is said once."""
    table = environment_table(view, one)
    named = [view.t(key) for key in _SEEN_IN_OTHER_TABLES]
    rows = [row for row in table.rows if row[0].text not in named]
    same = Cell(view.t("the_same"))
    alike = [(*row[:2], same) if len(row[1].text) > 20 and row[1] == row[2] else row for row in rows]
    return replace(table, rows=tuple(alike))


def figures(view: View, variant: str) -> tuple[Block, ...]:
    """The published figures; where each is worst is a page's."""
    names = [view.metric(name) for name in _TAIL]
    return tuple(
        _left_out(view, replace(block, rows=tuple(row for row in block.rows if row[0].text not in names)), "where")
        if isinstance(block, Table)
        else block
        for block in figure_blocks(view, variant)
    )


def gates(view: View, variant: str) -> tuple[Block, ...]:
    """Those that did not pass, then the first others; how many more pass is said in a line."""
    table = _left_out(view, gate_table(view, variant), "p", "where")
    odd = [row for row in table.rows if row[-1].mark != "pass"]
    shown = [*odd, *(row for row in table.rows if row not in odd)][: max(MOST["gates"], len(odd))]
    left = len(table.rows) - len(shown)
    more = (Paragraph(view.t("gates_more").format(count=left)),) if left else ()
    return (replace(table, rows=tuple(row for row in table.rows if row in shown)), *more) if shown else ()


def prompts(view: View, base: VariantDetails) -> Table:
    """Those with another token first, but of these too no more than `MOST` says; answers have their own table."""
    table = prompt_table(view, base)
    rows = sorted((row[:_COLUMNS] for row in table.rows), key=lambda row: row[3].mark == "pass")
    return replace(table, columns=table.columns[:_COLUMNS], rows=tuple(rows))


def answers(view: View, base: VariantDetails) -> Table | None:
    """What was expected of answers and what they are; None of a model with labels, which say it."""
    return None if base.labels else answer_table(view, base)


def parameters(view: View) -> Table:
    """What published cards have: counts of files and tensors are a page's."""
    table = parameter_table(view)
    named = [*(parameter_name(view, key) for key in _COUNTED), view.t("config_digest")]
    return replace(table, rows=tuple(row for row in table.rows if row[0].text not in named))


def again(view: View) -> tuple[Block, ...]:
    """A second run by variant, and base in other batches; a sentence where all of these are alike bit for bit."""
    columns = ("variant", *(view.metric(name) for name in REPEATED), "verdict")
    rows = []
    for one in view.model.variants:
        found = [check for check in view.checks(one.variant) if check.metric in REPEATED and check.observed is not None]
        if found:
            shown = {check.metric: number(f"{check.observed:g} / {check.n}") for check in found}
            judged = view.judged(worst(check.verdict for check in found))
            rows.append((Cell(one.variant), *(shown.get(name, number("—")) for name in REPEATED), judged))
    heads = (view.t(columns[0]), *columns[1:-1], view.t(columns[-1]))
    blocks: list[Block] = [Table(view.t("greedy_determinism"), heads, tuple(rows))] if rows else []
    batches = view.base.batches if view.base else []
    if batches and not any(row.different or row.flips for row in batches):
        count = sum(row.positions for row in batches)
        names = "、" if view.language == "zh" else ", "
        told = names.join(place(view.language, f"batch:{row.scenario}") for row in batches)
        blocks.append(Paragraph(view.t("batches_alike").format(scenarios=told, n=count)))
    elif batches:
        table = _left_out(view, batch_table(view), "where")
        own = tuple(row for row in table.rows if view.base and row[0].text == view.base.variant)
        blocks.append(replace(table, rows=own))
    return tuple(blocks)


def layers(view: View) -> tuple[Block, ...]:
    """A dozen, evenly, with the worst; and of those that explode or are not finite the first dozen."""
    table = layer_table(view)
    found = next((one.layers for one in view.model.variants if one.layers), [])
    count = len(table.rows)
    most = MOST["layers"]
    if count <= most:
        return (table,) if count else ()
    finite = [place for place in range(count) if found[place].finite]
    worst = max(finite, key=lambda place: found[place].relative_l2, default=0)
    places = {round(step * (count - 1) / (most - 2)) for step in range(most - 1)}
    odd = {place for place in range(count) if place not in finite or found[place].explodes}
    kept = sorted(places | {worst} | set(sorted(odd)[:most]))
    return replace(table, rows=tuple(table.rows[place] for place in kept)), Paragraph(
        view.t("layers_more").format(count=count - len(kept))
    )


def conversion(view: View) -> tuple[Block, ...]:
    """What conversion cost, how far the weights are from the published, and statistics of the first tensors."""
    cost, audited = conversion_table(view), audit_table(view)
    if not cost.rows:
        return ()
    statistics = [replace(table, rows=table.rows[: MOST["tensors"]]) for table in statistics_tables(view)[:1]]
    named = tuple(
        (Cell(f"{view.t('against_published')}{view.t('colon')}{row[0].text}", row[0].mark), *row[1:])
        for row in audited.rows
    )
    joined = replace(cost, rows=(*cost.rows, *named))
    return joined, *(table for table in statistics if table.rows)


def ruled_out(view: View) -> tuple[Block, ...]:
    """The first faults, in words."""
    rows = ruled_out_table(view).rows
    left = len(rows) - MOST["faults"]
    more = (view.t("faults_more").format(count=left),) if left > 0 else ()
    return (Items((*(row[0].text for row in rows[: MOST["faults"]]), *more)),) if rows else ()


def provenance(view: View) -> Items:
    """A line each, without what the environment says and what is of the run."""
    named = [view.t("versions"), view.t("machine"), view.t("engine_starts")]
    rows = [row for row in provenance_table(view).rows if row[0].text not in named]
    return Items(tuple(f"{row[0].text}{view.t('colon')}`{row[1].text.replace('`', chr(39))}`" for row in rows))


def _left_out(view: View, table: Table, *names: str) -> Table:
    """A table without some columns, by keys of their words."""
    kept = [place for place, name in enumerate(table.columns) if name not in map(view.t, names)]
    rows = tuple(tuple(row[place] for place in kept) for row in table.rows)
    return replace(table, columns=tuple(table.columns[place] for place in kept), rows=rows)
