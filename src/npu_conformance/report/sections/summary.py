"""All models of a run in a table: verdict, conclusion, variants by outcome, and how many tokens are the reference's."""

from npu_conformance.report.model import Report
from npu_conformance.report.rows import tally
from npu_conformance.report.sections.blocks import Cell, Table
from npu_conformance.report.sections.verdict import sentence
from npu_conformance.report.sections.view import View
from npu_conformance.report.tokens import Rate
from npu_conformance.report.values import bounds, percent
from npu_conformance.report.words import Language, word

_COLUMNS = ("model", "verdict", "conclusion", "variants", "agreement_raw", "agreement_adjusted")


def summary_table(report: Report, language: Language) -> Table:
    """A row a model, in the report's order."""
    rows = tuple(_row(View(report, model, language)) for model in report.models)
    return Table(word(language, "summary"), tuple(word(language, key) for key in _COLUMNS), rows)


def _row(view: View) -> tuple[Cell, ...]:
    model = view.model
    partial = f"({view.t('partial_short')})" if model.not_judged else ""
    verdict = Cell(view.said(model.verdict), model.verdict, note=partial)
    outcomes = (
        f"{count} {view.t('no_effect') if outcome == 'no_effect' else view.said(outcome)}"
        for outcome, count in tally(model).items()
    )
    rates = (None, None) if model.agreement is None else (model.agreement.raw, model.agreement.adjusted)
    return Cell(view.name), verdict, Cell(sentence(view)), Cell(", ".join(outcomes)), *map(_rate, rates)


def _rate(rate: Rate | None) -> Cell:
    return Cell("—" if rate is None else f"{percent(rate.observed)} ({bounds(rate)}), n = {rate.n}")
