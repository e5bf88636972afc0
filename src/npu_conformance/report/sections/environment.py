"""How the engine ran: environment, options asked for and in effect, its log."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from npu_conformance.report.details import VariantDetails
from npu_conformance.report.engine_options import option_rows, sign_counts
from npu_conformance.report.sections.blocks import Block, Cell, Fold, Paragraph, Section, Table
from npu_conformance.report.sections.view import View
from npu_conformance.report.words.labels import WORDS
from npu_conformance.report.words.log import LOG


def section(view: View) -> Section | None:
    """None where no engine left a trace."""
    if not view.model.variants:
        return None
    first = view.base or view.model.variants[0]
    blocks: list[Block] = [environment_table(view, first), Paragraph(_method(view, first))]
    if (log := _log(view)).rows:
        blocks += [log, Paragraph(view.t("log_text"))]
    for one in view.model.variants:
        if one is not first and view.beside(one) is None:
            caption = f"{view.t('environment')} · {one.variant}"
            blocks.append(Fold(caption, (replace(environment_table(view, one), caption=caption),)))
    options = (_options(view, one) for one in view.model.variants)
    notes = (Paragraph(view.t("note_options")), Paragraph(view.t("note_differences")))
    blocks.append(Fold(view.t("engines"), (*(one for one in options if one.rows), *notes)))
    return Section("environment", view.t("environment"), tuple(blocks))


def environment_table(view: View, one: VariantDetails) -> Table:
    """Hardware, software and time of both sides of a variant."""
    sides = one.candidate, one.reference
    entries = [
        (view.t("engine"), [str(side.get("engine", "—")) for side in sides]),
        (view.t("device"), [_device(side) for side in sides]),
        ("dtype", [_dtype(side) for side in sides]),
        (view.t("versions"), [_joined(side.get("versions", {})) for side in sides]),
        (view.t("timings"), [_joined(one.candidate.get("seconds", {})), _reference_seconds(view, one.reference)]),
        (
            view.t("peak_memory"),
            [f"{side['peak_rss_gib']} GiB" if side.get("peak_rss_gib") else "—" for side in sides],
        ),
    ]
    rows = [(Cell(name), *map(Cell, texts)) for name, texts in entries]
    if view.model.facts and view.model.facts.hardware:
        rows.append((Cell(view.t("hardware")), Cell(view.model.facts.hardware), Cell("—")))
    return Table(view.t("environment"), (view.t("item"), view.t("candidate"), view.t("reference")), tuple(rows))


def _device(side: Mapping[str, object]) -> str:
    """Its platform and its name, where these are two."""
    return " · ".join(dict.fromkeys(str(side[key]) for key in ("platform", "device") if side.get(key))) or "—"


def _dtype(side: Mapping[str, object]) -> str:
    """With the implementation of attention, of the reference."""
    for key in ("effective", "setting"):
        found = side.get(key)
        if isinstance(found, dict) and {"dtype", "attn_implementation"} & set(found):
            parts = (found.get("dtype", "float32"), found.get("attn_implementation") if key == "setting" else None)
            return " · ".join(str(part) for part in parts if part)
    return "—"


def _reference_seconds(view: View, side: Mapping[str, object]) -> str:
    if side.get("baseline"):
        return view.t("from_baseline")
    cached, computed = side.get("from_cache", 0), side.get("computed", 0)
    told = view.t("from_cache").format(cached=cached, computed=computed) if cached or computed else ""
    seconds = side.get("seconds")
    return " ".join(filter(None, (_joined(seconds if isinstance(seconds, dict) else {}), told)))


def _joined(entries: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {entry}" for name, entry in entries.items()) or "—"


def _method(view: View, one: VariantDetails) -> str:
    """How many prompts and positions were judged, and how."""
    how = view.t("method_alone" if one.reference.get("baseline") else "method_text")
    sample = view.t("ran_sample").format(prompts=len(one.prompts), positions=one.positions)
    return f"{view.t('samples')}{view.t('colon')}{sample}. {view.t('method')}{view.t('colon')}{how}."


def _options(view: View, one: VariantDetails) -> Table:
    """All of a variant that is judged by itself; of others what differs from base."""
    rows = [
        (Cell(row.name), Cell(row.asked), Cell(f"⚠ {row.effective}" if row.differs else row.effective))
        for row in option_rows(one, view.beside(one))
    ]
    rows += [(Cell(name), Cell("—"), Cell(text)) for name, text in _seen(view, one)]
    columns = (view.t("option"), view.t("asked"), view.t("effective"))
    return Table(one.variant, columns, tuple(rows))


def _seen(view: View, one: VariantDetails) -> Iterator[tuple[str, str]]:
    """What the engine showed of its features, and where base's say it already, how long it took."""
    base = view.beside(one)
    for sign, count in sign_counts(one, base).items():
        yield view.t(f"sign_{sign}") if f"sign_{sign}" in WORDS else sign, str(count)
    if base is not None and one.candidate.get("seconds"):
        yield view.t("timings"), _joined(one.candidate["seconds"])


def _log(view: View) -> Table:
    rows = []
    for one in view.model.variants:
        for row in one.log:
            meaning, remedy = (
                LOG.get(row.name, (row.meaning, row.remedy)) if view.language == "zh" else (row.meaning, row.remedy)
            )
            told = (Cell(str(row.times), number=True), Cell(row.line), Cell(meaning), Cell(remedy))
            rows.append((Cell(one.variant, "fail" if row.fails else ""), *told))
    columns = tuple(map(view.t, ("variant", "times", "log_line", "meaning", "remedy")))
    return Table(view.t("log"), columns, tuple(rows))
