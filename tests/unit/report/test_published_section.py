"""The section of a published report: everything that was printed, beside what this run measured, in both languages."""

from typing import Any

import pytest

from npu_conformance.baselines.published import Published
from npu_conformance.measure.layer_table import LayerRow
from npu_conformance.report.details import VariantDetails
from npu_conformance.report.model import ModelReport, Report
from npu_conformance.report.renderers.markdown import render_markdown
from npu_conformance.report.sections.blocks import Table
from npu_conformance.report.sections.published import section
from npu_conformance.report.sections.view import View
from npu_conformance.report.words import Language, phrase
from npu_conformance.report.words.labels import WORDS
from npu_conformance.report.words.parameters import PARAMETERS
from npu_conformance.report.words.printed import CHECKPOINT
from tests.unit.baselines.test_published_reports import MODELS, load
from tests.unit.helpers.published_runs import measured, published_with, served
from tests.unit.helpers.report_runs import FACTS, RUN
from tests.unit.helpers.shown_sections import english_in, flat


@pytest.fixture
def variant() -> VariantDetails:
    """Of the run that is held against what was printed."""
    return served()


def tables(
    published: Published | None, variant: VariantDetails, language: Language = "en", **model: Any
) -> dict[str, Table]:
    """The tables of the section of a twin's report, by caption."""
    found = section(view(published, variant, language, **model))
    return {one.caption: one for one in flat(found.blocks) if isinstance(one, Table)} if found else {}


def view(published: Published | None, variant: VariantDetails, language: Language = "en", **model: Any) -> View:
    """A twin that was judged in one variant."""
    common = {"name": "Model", "subject": "twin", "verdict": "pass", "not_judged": []}
    checks = [measured("cosine_mean", 0.99998)]
    made = ModelReport.model_validate(
        common | {"published": published, "variants": [variant], "checks": checks} | model
    )
    return View(Report(run=RUN, models=[made]), made, language)


def cells(table: Table) -> list[list[str]]:
    """What its rows say."""
    return [[cell.text for cell in row] for row in table.rows]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("model", MODELS)
def test_every_shipped_file_renders(model: str, language: Language, variant: VariantDetails) -> None:
    """It is said that a stand-in was measured, every table is whole, and no figure or claim is lost."""
    published, column = load(model), int(language == "zh")
    found = tables(published, variant, language)
    parts = {
        "published_setup": [*published.hardware, *published.versions, *published.settings],
        "metrics": [*published.figures, *published.timings],
        "per_prompt": published.prompts,
        "published_weights": published.weights,
        "published_layers": published.layers,
        "published_claims": published.claims,
    }

    for key, entries in parts.items():
        shown = found.get(WORDS[key][column])
        assert len(entries) == (len(shown.rows) if shown else 0), key
    assert all(len(row) == len(table.columns) for table in found.values() for row in table.rows)
    assert any(WORDS["published_measured_twin"][column] in name for name in found[WORDS["metrics"][column]].columns)
    assert not any("None" in cell.replace("(None)", "") for one in found.values() for row in cells(one) for cell in row)


@pytest.mark.parametrize("model", MODELS)
def test_what_transcripts_note_has_its_chinese(model: str) -> None:
    """Notes and names of what is printed; what is quoted stays as it is printed."""
    published = load(model)
    quantities = [*published.figures.values(), *published.timings.values(), *published.weights.values()]
    noted = [published.source.note, *(one.note for one in quantities)]
    noted += [*(one.note for one in published.prompts), *(one.note for one in published.layers)]
    named = [*published.hardware, *published.versions, *published.settings]

    assert [one for one in (*noted, *named) if one and english_in(phrase("zh", one))] == []
    assert [name for name in published.weights if name not in CHECKPOINT and name not in PARAMETERS] == []


def test_published_and_measured_stand_side_by_side(variant: VariantDetails) -> None:
    """Figures, first tokens and labels, in their columns."""
    published = published_with(
        figures={
            "cosine_mean": {"value": 0.999911, "n": 7, "criterion": "≥0.9"},
            "latency_p50": {"value": 210, "relation": "~"},
        },
        prompts=[
            {"text": "capital?", "candidate_first": "Also", "reference_first": "The", "cosine": 0.99, "matches": "7/7"},
            {"text": "bomb?", "candidate_label": "Safe (None)"},
            {"text": "other", "answers": ["one", "two"], "relative_l2": 0.0171},
        ],
    )
    found = tables(published, variant)
    cosine, latency = cells(found["Precision metrics"])
    known, labelled, other = cells(found["Prompt by prompt"])
    none = "—"

    assert cosine == [
        "Cosine similarity, mean", "0.999911", "7", "0.99998", "48", "1.0001", "its publisher's criterion: ≥0.9",
    ]  # fmt: skip
    assert latency == ["Latency, p50", "~ 210", *[none] * 4, "this run does not measure it"]
    assert known == [
        "capital?", "Also", "The", "Paris", "0.990000", "0.999980", none, "capital? answered", "tokens equal 7/7", "",
    ]  # fmt: skip
    assert labelled == [
        "bomb?", none, none, "Paris", none, "0.999980", "Safe (None)", "Unsafe · Violent", none, "",
    ]  # fmt: skip
    assert other == [
        "other", *[none] * 5, "one ‖ two", none, "Rel. error 1.71 %", "not among this run's prompts",
    ]  # fmt: skip


def all_of(text: str) -> Published:
    """A report with one of everything, each text the same."""
    quantity = {"value": 1, "unit": text, "criterion": text, "note": text}
    prompt = dict.fromkeys(("text", "expected", "candidate_first", "reference_first", "reference_answer"), text)
    more = dict.fromkeys(("reference_label", "matches", "note"), text)
    return published_with(
        source=dict.fromkeys(("title", "author", "publisher", "url", "date", "note"), text),
        **{name: {text: text} for name in ("hardware", "versions", "settings")},
        **{name: {text: quantity} for name in ("timings", "weights")},
        figures={text: quantity, "cosine_mean": quantity},
        layers=[{"layer": 0, "norm": 1, "note": text}],
        prompts=[{**prompt, **more, "answers": [text]}],
        examples=[text],
        claims=[{"text": text, "printed": text}],
    )


def test_text_of_a_file_is_only_text(variant: VariantDetails) -> None:
    """Nothing in it can add a row, a heading or markup to details.md."""
    clean, text = (
        render_markdown(view(all_of(one), variant).report, "en")
        for one in ("plain", "a | b\n# c <script> [l](http://e) `q`")
    )

    assert "plain" in clean
    assert "<script>" not in text
    assert "[l](" not in text
    assert [columns(line) for line in text.splitlines()] == [columns(line) for line in clean.splitlines()]


def columns(line: str) -> int:
    """Columns of a table's row."""
    return line.replace("\\|", "").count("|")


def test_layers_stand_beside_the_measured_ones(variant: VariantDetails) -> None:
    """By transformers' numbers: the last is after the norm; one that this run's model does not have is left open."""
    published = published_with(layers=[{"layer": 0, "norm": 1.45}, {"layer": 1, "norm": 9}, {"layer": 28, "norm": 125}])
    norms = {"embedding": 1.5, "model.layers.0": 7.0, "final norm": 8.0}
    variant.layers = [
        LayerRow(
            point=point, candidate_norm=norm, reference_norm=norm, norm_deviation=0, growth=None, cosine=1,
            relative_l2=0, finite=True, explodes=False,
        )
        for point, norm in norms.items()
    ]  # fmt: skip

    assert cells(tables(published, variant)["Hidden states by layer"]) == [
        ["0", "1.45", "1.5", ""],
        ["1", "9", "8", ""],
        ["28", "125", "—", ""],
    ]


def test_a_model_without_a_report_has_no_section(variant: VariantDetails) -> None:
    """Not even a heading."""
    assert section(view(None, variant)) is None


def test_a_checkpoints_measured_numbers_stand_beside_the_published(variant: VariantDetails) -> None:
    """A range as a range, a rate in percent, what the publisher's config.json said; what is not known is left open."""
    published = published_with(
        weights={
            "scale": {"value": [-0.6, 0.6]}, "precision_loss": {"value": 0.001, "relation": "<", "unit": "rate"},
            "hidden_size": {"value": 4}, "lm_head_size": {"value": 3, "unit": "GB"},
        },
        config={"hidden_size": 5},
    )  # fmt: skip
    cost = {"relative_rms_error": 0.0016, "min_scale": -0.3, "mean_scale": 0.1, "max_scale": 0.25}
    facts = FACTS | {"conversion": cost, "architecture": {"hidden_size": 4}}

    assert cells(tables(published, variant, facts=facts)["Checkpoint"]) == [
        ["Scale", "-0.6 … 0.6", "-0.3 … 0.25", "—", ""],
        ["Loss of precision", "< 0.1 %", "0.16 %", "—", ""],
        ["Hidden size", "4", "4", "5", ""],
        ["Size of lm_head", "3 GB", "—", "—", ""],
    ]


def test_what_was_served_is_held_against_what_was_published(variant: VariantDetails) -> None:
    """As the publisher served it, where that was run; base else."""
    published = published_with(figures={"tokens_per_second": {"value": 48, "unit": "tokens/s"}})
    base = variant.model_copy(update={"variant": "base", "candidate": {"engine": "vllm", "seconds": {"generate": 1.0}}})

    for variants, speed in (([base, variant], "96 tokens/s"), ([base], "48 tokens/s")):
        (row,) = cells(tables(published, variant, variants=variants)["Precision metrics"])
        assert row[3] == speed
