"""What the model's publisher reported, beside what this run measured; nothing is judged by it."""

from npu_conformance.measure.rates import rate_interval
from npu_conformance.report.published import PublishedRow, published_prompts, published_rows
from npu_conformance.report.sections.blocks import Block, Cell, Fold, Paragraph, Section, Table
from npu_conformance.report.sections.performance import speed_of
from npu_conformance.report.sections.view import View, number
from npu_conformance.report.words.labels import WORDS

_COUNTED = ("token_agreement", "label_match", "output_text_match", "greedy_determinism", "expected_answers")


def section(view: View) -> Section | None:
    """None where nothing was published, or nothing ran."""
    published, base = view.model.published, view.base
    if published is None or base is None:
        return None
    source = published.source
    text = ", ".join(part for part in (source.title, source.author, source.publisher, source.date, source.url) if part)
    blocks: list[Block] = [Paragraph(f"{view.t('published_source')}: {text}"), Paragraph(view.t("published_note"))]
    if table := claims_table(view):
        blocks.append(table)
    blocks += [
        Fold(view.t("published_all"), tuple(one for one in (_figures(view), _prompts(view), _claims(view)) if one.rows))
    ]
    return Section("published", view.t("published"), tuple(blocks))


def claims_table(view: View) -> Table | None:
    """Rates that are published, with what so few cases can show."""
    published = view.model.published
    found = {} if published is None else published.figures
    rows = []
    for name in _COUNTED:
        one = found.get(name)
        if one is None or one.n is None or isinstance(one.value, tuple) or one.unit != "rate":
            continue
        hits = round(one.value * one.n)
        text = view.t("claim_shows").format(
            hits=hits, n=one.n, least=f"{100 * rate_interval(hits, one.n, one.n)[0]:.0f} %"
        )
        rows.append((Cell(_name(view, name)), number(f"{100 * one.value:.4g} %"), number(str(one.n)), Cell(text)))
    columns = (view.t("metric"), view.t("published_value"), "n", view.t("what_n_shows"))
    return Table(view.t("claims_checked"), columns, tuple(rows)) if rows else None


def _figures(view: View) -> Table:
    published, base = view.model.published, view.base
    rows = (
        [] if published is None or base is None else published_rows(published, view.model.checks, base, speed_of(view))
    )
    measured = view.t(f"published_measured_{view.model.subject}")
    columns = (view.t("metric"), view.t("published_value"), "n", measured, "n", view.t("published_remark"))
    return Table(view.t("metrics"), columns, tuple(_row(view, row) for row in rows))


def _row(view: View, row: PublishedRow) -> tuple[Cell, ...]:
    criterion = f"{view.t('published_criterion')} {row.criterion}" if row.criterion else None
    remark = "; ".join(filter(None, (row.remark and view.t(row.remark), criterion, row.note)))
    return (
        Cell(_name(view, row.figure)), number(row.published), number(str(row.published_n or "—")),
        number(row.measured_text), number(str(row.measured_n or "—")), Cell(remark),
    )  # fmt: skip


def _prompts(view: View) -> Table:
    published, base = view.model.published, view.base
    rows = [] if published is None or base is None else published_prompts(published, base)
    columns = ("prompt", "published_first", "published_first_measured", "published_cosine", "published_cosine_measured")
    return Table(
        view.t("per_prompt"),
        tuple(map(view.t, columns)),
        tuple(
            (
                Cell(row.published.text), Cell(row.published.candidate_first or "—"),
                Cell(row.measured.candidate_first if row.measured else view.t("published_prompt_not_run")),
                number("—" if row.published.cosine is None else f"{row.published.cosine:g}"),
                number(f"{row.measured.cosine_first:.6f}" if row.measured else "—"),
            )
            for row in rows
        ),
    )  # fmt: skip


def _claims(view: View) -> Table:
    claims = view.model.published.claims if view.model.published else ()
    rows = tuple(
        (Cell(one.printed if view.language == "zh" else one.text), Cell(view.t("published_claim"))) for one in claims
    )
    return Table(view.t("published_claims"), (view.t("published_claims"), view.t("published_remark")), rows)


def _name(view: View, name: str) -> str:
    return view.t(name) if name in WORDS else view.metric(name)
