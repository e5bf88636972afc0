"""What the model's publisher reported, beside what this run measured; nothing is judged by it."""

from npu_conformance.baselines.published import Published
from npu_conformance.measure.rates import rate_interval
from npu_conformance.report.details import VariantDetails
from npu_conformance.report.published import PublishedPromptRow, PublishedRow, published_prompts, published_rows
from npu_conformance.report.sections import published_checkpoint
from npu_conformance.report.sections.blocks import Block, Cell, Fold, Items, Paragraph, Section, Table
from npu_conformance.report.sections.performance import speed_of
from npu_conformance.report.sections.view import View, number
from npu_conformance.report.words.labels import WORDS

_COUNTED = ("token_agreement", "label_match", "output_text_match", "greedy_determinism", "expected_answers")


def section(view: View) -> Section | None:
    """None where nothing was published, or nothing ran."""
    published, ran = view.model.published, view.model.variants
    if published is None or not ran:
        return None
    served = next((one for one in ran if one.variant == "as_served"), view.base or ran[0])
    source = published.source
    text = ", ".join(filter(None, (source.title, source.author, source.publisher, source.date, source.url)))
    note = f" ({view.phrase(source.note)})" if source.note else ""
    told = Paragraph(f"{view.t('published_source')}{view.t('colon')}{text}{note}")
    blocks: list[Block] = [told, Paragraph(view.t("published_note"))]
    if table := claims_table(view):
        blocks.append(table)
    tables = (
        _setup(view, published), _figures(view, published, served), _prompts(view, published, served),
        published_checkpoint.weight_table(view, published), published_checkpoint.layer_table(view, published),
        _claims(view, published),
    )  # fmt: skip
    folded: list[Block] = [one for one in tables if one.rows]
    if published.examples:
        folded += [Paragraph(f"{view.t('published_examples')}{view.t('colon')}"), Items(published.examples)]
    blocks.append(Fold(view.t("published_all"), tuple(folded)))
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


def _setup(view: View, published: Published) -> Table:
    """Hardware, versions and settings, as printed."""
    parts = (published.hardware, published.versions, published.settings)
    entries = [entry for part in parts for entry in part.items()]
    rows = tuple((Cell(view.phrase(key)), Cell(entry)) for key, entry in entries)
    return Table(view.t("published_setup"), (view.t("item"), view.t("published_value")), rows)


def _figures(view: View, published: Published, served: VariantDetails) -> Table:
    rows = published_rows(published, view.model.checks, served, speed_of(view))
    measured = view.t(f"published_measured_{view.model.subject}")
    columns = (
        view.t("metric"), view.t("published_value"), "n", f"{measured} ({served.variant})", "n",
        view.t("published_ratio"), view.t("published_remark"),
    )  # fmt: skip
    return Table(view.t("metrics"), columns, tuple(_row(view, row) for row in rows))


def _row(view: View, row: PublishedRow) -> tuple[Cell, ...]:
    criterion = f"{view.t('published_criterion')} {row.criterion}" if row.criterion else None
    remark = view.t("message_join").join(
        filter(None, (row.remark and view.t(row.remark), criterion, row.note and view.phrase(row.note)))
    )
    return (
        Cell(_name(view, row.figure)), number(row.published), number(str(row.published_n or "—")),
        number(row.measured_text), number(str(row.measured_n or "—")),
        number("—" if row.ratio is None else f"{row.ratio:.5g}"), Cell(remark),
    )  # fmt: skip


def _prompts(view: View, published: Published, served: VariantDetails) -> Table:
    """First tokens, cosine and answer of each published prompt, beside those of the same prompt here."""
    measured = view.t(f"published_measured_{view.model.subject}")
    columns = (
        view.t("prompt"), view.t("published_first"), view.t("published_reference_first"),
        f"{measured}: {view.t('published_first_measured')}", view.t("published_cosine"),
        f"{measured}: {view.t('published_cosine_measured')}", view.t("published_answer"),
        f"{measured}: {view.t('published_answer_measured')}", view.t("published_besides"), view.t("published_remark"),
    )  # fmt: skip
    rows = tuple(_prompt(view, row) for row in published_prompts(published, served))
    return Table(view.t("per_prompt"), columns, rows)


def _prompt(view: View, row: PublishedPromptRow) -> tuple[Cell, ...]:
    printed, ran = row.published, row.measured
    labels = row.labels.candidate if row.labels else None
    answer = " · ".join(labels.values()) if labels else ran.answer if ran else "—"
    besides = ", ".join(f"{view.t(key)} {text}" for key, text in row.besides.items())
    notes = (None if ran else view.t("published_prompt_not_run"), printed.note and view.phrase(printed.note))
    return (
        Cell(printed.text), Cell(printed.candidate_first or "—"), Cell(printed.reference_first or "—"),
        Cell(ran.candidate_first if ran else "—"),
        number("—" if printed.cosine is None else f"{printed.cosine:.6f}"),
        number(f"{ran.cosine_first:.6f}" if ran else "—"),
        Cell(printed.candidate_label or " ‖ ".join(printed.answers) or "—"), Cell(answer), Cell(besides or "—"),
        Cell(view.t("message_join").join(filter(None, notes))),
    )  # fmt: skip


def _claims(view: View, published: Published) -> Table:
    """In Chinese as they are printed, in English with what is printed."""
    rows = tuple(
        (
            Cell(one.printed if view.language == "zh" else f"{one.text} ({one.printed})"),
            Cell(view.t("published_claim")),
        )
        for one in published.claims
    )
    return Table(view.t("published_claims"), (view.t("published_claims"), view.t("published_remark")), rows)


def _name(view: View, name: str) -> str:
    return view.t(name) if name in WORDS else view.metric(name)
