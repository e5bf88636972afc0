"""Published figures and prompts stand beside measured ones, in both languages."""

from types import SimpleNamespace
from typing import Any

import pytest

from npu_conformance.baselines.published import Published
from npu_conformance.measure.results import Result
from npu_conformance.report.details import VariantDetails
from npu_conformance.report.prompt_rows import LabelRow, PromptRow
from npu_conformance.report.published import PublishedRow, published_prompts, published_rows
from npu_conformance.report.renderers.markdown import names, templates
from npu_conformance.report.words import Language
from npu_conformance.report.words.labels import WORDS
from tests.unit.baselines.test_published_reports import MODELS, load


def published_with(**parts: Any) -> Published:
    """A made-up report."""
    return Published.model_validate({"source": {"title": "a report"}, **parts})


@pytest.fixture
def variant() -> VariantDetails:
    """A run of vLLM: 48 tokens of two prompts in half a second."""
    rows = [
        PromptRow(
            prompt=f"set/{text}",
            text=text,
            answer=f"{text} answered",
            tokens=24,
            matches=24,
            first_divergence=None,
            candidate_first="Paris",
            reference_first="Paris",
            cosine=0.9,
            cosine_first=0.99998,
            relative_l2=0.004,
            kl=1e-5,
            repeated=True,
            expected=[],
            expected_found=True,
        )
        for text in ("capital?", "bomb?")
    ]
    label = {"label": "Unsafe", "category": "Violent"}
    return VariantDetails(
        variant="as_served",
        candidate={"engine": "vllm", "seconds": {"start": 8.88, "generate": 0.5}},
        reference={},
        metrics_version=1,
        positions=48,
        own_limits={},
        relative_l2=[],
        prompts=rows,
        labels=[LabelRow(prompt="set/bomb?", text="bomb?", expected=label, candidate=label, reference=label)],
    )


def measured(metric: str, observed: float | None, n: int | None = 48, **fields: Any) -> Result:
    """A check of the variant."""
    return Result(check="c", variant="as_served", metric=metric, observed=observed, n=n, verdict="pass", **fields)


def row(figures: dict[str, Any], checks: list[Result], variant: VariantDetails) -> PublishedRow:
    """The row of a report with one figure."""
    (found,) = published_rows(published_with(figures=figures), checks, variant)
    return found


def test_a_ratio_is_measured_over_published(variant: VariantDetails) -> None:
    """With both samples' sizes; a check of another variant, path or comparison is not taken for it."""
    checks = [
        measured("relative_l2_mean", 7.0).model_copy(update={"check": "variant_closeness"}),
        Result(check="c", variant="base", metric="relative_l2_mean", observed=9.0, verdict="pass"),
        measured("relative_l2_mean", 8.0, path="prefill"),
        measured("relative_l2_mean", 0.0065),
    ]
    found = row({"relative_l2_mean": {"value": 0.013, "unit": "rate", "n": 7, "note": "printed"}}, checks, variant)

    assert (found.published, found.published_n, found.measured_text, found.measured_n) == ("1.3 %", 7, "0.65 %", 48)
    assert found.ratio == pytest.approx(0.5)
    assert (found.remark, found.note) == (None, "printed")


@pytest.mark.parametrize(
    ("relation", "observed", "remark"),
    [
        ("<", 0.004, "published_inside"),
        ("<", 0.005, "published_outside"),
        ("<=", 0.005, "published_inside"),
        (">", 0.005, "published_outside"),
        (">=", 0.005, "published_inside"),
        ("<", float("nan"), "published_outside"),
    ],
)
def test_a_bound_has_no_ratio(relation: str, observed: float, remark: str, variant: VariantDetails) -> None:
    """It says on which side of it the measured value is; NaN is never inside."""
    found = row({"cosine_mean": {"value": 0.005, "relation": relation}}, [measured("cosine_mean", observed)], variant)

    assert (found.ratio, found.remark) == (None, remark)


@pytest.mark.parametrize("printed", [0.0, [0.1, 0.2]])
def test_nothing_is_divided_by_zero_or_a_range(printed: object, variant: VariantDetails) -> None:
    """The values stand beside each other, without a ratio."""
    found = row({"kl_mean": {"value": printed}}, [measured("kl_mean", 0.1)], variant)

    assert (found.measured, found.ratio, found.remark) == (0.1, None, None)


@pytest.mark.parametrize("checks", [[], [measured("cosine_mean", None)], [measured("labels_of_reference", 0, 0)]])
def test_what_was_not_measured_says_so(checks: list[Result], variant: VariantDetails) -> None:
    """Also where a check has no value, or rests on nothing."""
    published = published_with(figures={name: {"value": 1} for name in ("cosine_mean", "label_match", "latency_p50")})
    for found in published_rows(published, checks, variant):
        assert (found.measured, found.measured_text, found.ratio) == (None, "—", None)
        assert found.remark == "published_not_measured"


def test_counted_cases_become_a_rate(variant: VariantDetails) -> None:
    """The suite counts what reports publish as a percentage."""
    found = row(
        {"label_match": {"value": 1.0, "unit": "rate", "n": 7}},
        [measured("labels_of_reference", 13, 14)],
        variant,
    )

    assert (found.measured_text, found.measured_n) == ("92.85714 %", 14)
    assert found.ratio == pytest.approx(13 / 14)


def test_times_come_from_the_run(variant: VariantDetails) -> None:
    """Tokens of all prompts over the pass's seconds, and what that is worth."""
    published = published_with(
        figures={"tokens_per_second": {"value": 48, "unit": "tokens/s"}},
        timings={"milliseconds_per_token": {"value": 10}, "engine_start": {"value": 29.6, "unit": "s"}},
    )
    speed, each, start = published_rows(published, [], variant)

    assert (speed.measured_text, speed.measured_n, speed.ratio) == ("96 tokens/s", 48, 2.0)
    assert each.measured == pytest.approx(1000 * 0.5 / 48)
    assert speed.remark == each.remark == "published_speed"
    assert (start.measured_text, start.remark) == ("8.88 s", "published_start_time")
    assert start.ratio == pytest.approx(0.3)


@pytest.mark.parametrize("candidate", [{"engine": "transformers", "seconds": {"generate": 1.0}}, {"engine": "vllm"}])
def test_no_speed_without_vllms_clock(candidate: dict[str, Any], variant: VariantDetails) -> None:
    """Transformers' seconds hold every prompt twice; an old trace may have none."""
    variant = VariantDetails.model_validate(variant.model_dump() | {"candidate": candidate})

    assert row({"tokens_per_second": {"value": 1}}, [], variant).remark == "published_not_measured"


def test_prompts_are_paired_by_their_text(variant: VariantDetails) -> None:
    """The whole text; what the run did not ask stays alone."""
    texts = ("capital?", "bomb?", "capital", "capi...")
    known, labelled, *alone = published_prompts(published_with(prompts=[{"text": text} for text in texts]), variant)

    assert known.measured == variant.prompts[0]
    assert known.labels is None
    assert labelled.labels == variant.labels[0]
    assert [pair.measured for pair in alone] == [None, None]


def render(
    published: Published | None,
    variant: VariantDetails,
    language: Language = "en",
    layers: dict[int, float] | None = None,
    weights: dict[str, tuple[float, ...]] | None = None,
) -> str:
    """The template partial as a report of a twin includes it; layers and weights are measured of no model here."""
    model = SimpleNamespace(
        published=published, subject="twin", facts=None, variants=[variant], checks=[measured("cosine_mean", 0.99998)]
    )
    own = {"measured_weights": lambda _facts: weights or {}, "layer_norms": lambda _model: layers or {}}
    return templates().get_template("published.md.j2").render(names(language) | own, model=model)


def columns(line: str) -> int:
    """Columns of a table's row."""
    return line.replace("\\|", "").count("|")


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("model", MODELS)
def test_every_shipped_file_renders(model: str, language: Language, variant: VariantDetails) -> None:
    """Every heading says that a stand-in was measured, every table is whole, and no claim is lost."""
    published, column = load(model), int(language == "zh")
    text = render(published, variant, language)
    tables: list[set[int]] = [set()]
    for line in text.splitlines():
        if line.startswith("|"):
            tables[-1].add(columns(line))
        elif tables[-1]:
            tables.append(set())
    headings = [line for line in text.splitlines() if line.startswith("#")]

    assert len(headings) >= 4
    assert all(WORDS["twin"][column] in line for line in headings)
    assert all(len(found) == 1 for found in tables if found)
    assert text.count("\n- ") == text.count(f": {WORDS['published_claim'][column]}\n") == len(published.claims)
    assert WORDS["published_measured_twin"][column] in text
    assert "None" not in text.replace("(None)", "")


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
    text = render(published, variant)
    numbers = "0.999911 | 7 | 0.99998 | 48 | 1.0001"

    assert f"| Cosine similarity, mean | {numbers} | its publisher's criterion: ≥0.9 |" in text
    assert "| Latency, p50 | ~ 210 | — | — | — | — | this run does not measure it |" in text
    assert "| capital? | Also | The | Paris | 0.990000 | 0.999980 | — | capital? answered | tokens equal 7/7 |" in text
    assert "| bomb? | — | — | Paris | — | 0.999980 | Safe (None) | Unsafe · Violent |" in text
    assert "| other | — | — | — | — | — | one ‖ two | — | Rel. error 1.71 % | not among this run's prompts |" in text


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
    """Nothing in it can add a row, a heading or markup."""
    clean = render(all_of("plain"), variant)
    text = render(all_of("a | b\n# c <script> [l](http://e) `q`"), variant)

    assert "<script>" not in text
    assert "[l](" not in text
    assert [columns(line) for line in text.splitlines()] == [columns(line) for line in clean.splitlines()]


def test_layers_stand_beside_the_measured_ones(variant: VariantDetails) -> None:
    """By number; a layer that this run's model does not have is left open."""
    published = published_with(layers=[{"layer": 0, "norm": 1.45}, {"layer": 28, "norm": 125.59}])

    assert "| 0 | 1.45 | 1.5 |   |\n| 28 | 125.59 | — |   |" in render(published, variant, layers={0: 1.5})


def test_a_model_without_a_report_has_no_section(variant: VariantDetails) -> None:
    """Not even a heading."""
    assert render(None, variant).strip() == ""


def test_a_checkpoints_measured_numbers_stand_beside_the_published(variant: VariantDetails) -> None:
    """A range as a range, a rate in percent."""
    published = published_with(
        weights={"weight": {"value": [-0.6, 0.6]}, "precision_loss": {"value": 0.001, "relation": "<", "unit": "rate"}}
    )
    text = render(published, variant, weights={"weight": (-0.3, 0.25), "precision_loss": (0.0016,)})

    assert "| weight | -0.6 … 0.6 | -0.3 … 0.25 | — |" in text
    assert "&lt; 0.1 % | 0.16 % | — |" in text
