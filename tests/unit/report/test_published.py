"""Published figures and prompts stand beside measured ones, in both languages."""

from typing import Any

import pytest

from npu_conformance.measure.results import Result
from npu_conformance.report.details import VariantDetails
from npu_conformance.report.published import PublishedRow, published_prompts, published_rows
from tests.unit.helpers.published_runs import measured, published_with, served


@pytest.fixture
def variant() -> VariantDetails:
    """Of the run that is held against what was printed."""
    return served()


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
