"""The feature matrix: each row says works, fails, not run or not applicable, and by which variants."""

import re

import pytest

from npu_conformance.report.model import ModelReport, Report
from npu_conformance.report.sections import section
from npu_conformance.report.sections.blocks import Table
from npu_conformance.report.sections.features import FEATURES, State, feature_table, states
from npu_conformance.report.sections.view import View
from npu_conformance.report.words import LANGUAGES, word
from npu_conformance.report.words.features import STATES
from tests.unit.helpers.finished_reports import check, details, failing_report, green, green_report
from tests.unit.helpers.report_runs import FACTS, RUN


def matrix(model: ModelReport) -> dict[str, State]:
    """By the feature's name in English."""
    return {one.name: one for one in states(View(Report(run=RUN, models=[model]), model, "en"))}


def made(
    *variants: str, platform: str = "npu", architecture: str = "Qwen3ForCausalLM", **fields: object
) -> ModelReport:
    """A model whose variants all passed."""
    ran = [details(name) for name in ("base", *variants)]
    for one in ran:
        one.candidate |= {"platform": platform, "observed": {"experts": 0}}
        one.positions = one.positions or 0
    facts = FACTS | {"architecture": {"architecture": architecture}, "variants": ["base", *variants]}
    content = {"name": "M", "subject": "real", "verdict": "pass", "not_judged": [], "facts": facts, "variants": ran}
    return ModelReport.model_validate(content | {"checks": green(("base", *variants))} | fields)


def test_what_passed_works_and_names_its_variant() -> None:
    """On an NPU; nothing else is said to work."""
    found = matrix(made("graph", "chunked_prefill", "prefix_caching", "tp2", "spec_decode", "long_prompt"))
    works = {name: one.variants for name, one in found.items() if one.mark == "pass"}

    assert works == {
        "Model loads": (),
        "Real weights (not dummy, not a stand-in)": (),
        "Eager mode": ("base",),
        "ACLGraph": ("graph",),
        "Chunked prefill": ("chunked_prefill",),
        "Prefix caching": ("prefix_caching",),
        "Tensor parallel (TP)": ("tp2",),
        "Speculative decoding": ("spec_decode",),
        "Long prompts": ("long_prompt",),
    }
    assert {found[name].mark for name in ("LoRA", "MTP", "Serving (OpenAI API)")} == {"skipped"}
    assert found["Multimodal inputs"].mark == "not_applicable"


def test_graphs_of_another_platform_are_no_aclgraph() -> None:
    """They were run, and say nothing of an NPU's; the row says so."""
    found = matrix(made("graph", platform="cpu"))["ACLGraph"]

    assert (found.mark, found.variants) == ("skipped", ("graph",))
    assert "platform cpu" in found.evidence


def test_a_failure_is_one_whatever_else_passed() -> None:
    """Of several variants that show a feature the worst counts; the check that failed is named."""
    model = made("tp2", "tp4")
    broken = check("logits_closeness", "tp4", "fail", metric="relative_l2_mean", observed=0.5, limit=0.02)
    found = matrix(model.model_copy(update={"checks": [*model.checks, broken]}))["Tensor parallel (TP)"]

    assert (found.mark, found.variants) == ("fail", ("tp2", "tp4"))
    assert "tp4: logits_closeness" in found.evidence


def test_a_variant_that_had_no_effect_was_not_run() -> None:
    """And is no evidence that the feature works."""
    model = made("prefix_caching")
    model.variants[1].no_effect = "cached_tokens: 0 in this run, at least 1 show the feature"
    found = matrix(model)["Prefix caching"]

    assert found.mark == "skipped"
    assert "0 in this run" in found.evidence


def test_a_variant_of_ones_own_is_known_by_its_options() -> None:
    """Not by its name."""
    model = made("mine")
    model.variants[1].candidate["asked"] = {"enable_prefix_caching": True, "speculative_config": {"method": "mtp"}}
    found = matrix(model)

    assert found["Prefix caching"].variants == found["MTP"].variants == ("mine",)
    assert found["Speculative decoding"].mark == "skipped"


def test_serving_is_told_by_its_checks() -> None:
    """It has no positions: what passed is counted; one that fails is named."""
    model = made("serving")
    found = matrix(model)["Serving (OpenAI API)"]
    assert (found.mark, found.variants) == ("pass", ("serving",))
    assert re.fullmatch(r"serving: \d+ checks passed", found.evidence)

    broken = check("finite_logits", "serving", "fail", observed=0, limit=1)
    assert matrix(model.model_copy(update={"checks": [*model.checks, broken]}))["Serving (OpenAI API)"].mark == "fail"


def test_a_skipped_feature_says_why() -> None:
    """In the words of whoever skipped it."""
    model = made()
    why = check("logits_closeness", "ep", "skipped", message="ep: the engine dies")
    found = matrix(model.model_copy(update={"checks": [*model.checks, why]}))["Expert parallel (EP)"]

    assert (found.mark, found.evidence) == ("skipped", "ep: the engine dies")


def test_a_lora_is_judged_by_its_own_check() -> None:
    """Of a model that is served with one."""
    model = made()
    assert model.facts is not None
    model.facts.adapter = "/lora"
    assert matrix(model)["LoRA"].mark == "pass"

    broken = check("adapter_effect", verdict="fail", metric="adapter_size", observed=1.0, limit=0.05)
    assert matrix(model.model_copy(update={"checks": [*model.checks, broken]}))["LoRA"].mark == "fail"


def test_a_twin_is_no_real_weights() -> None:
    """However well it does."""
    found = matrix(made(subject="twin"))["Real weights (not dummy, not a stand-in)"]

    assert found.mark == "skipped"
    assert "says nothing" in found.evidence


def test_an_engine_that_did_not_start_does_not_load() -> None:
    """Its message is the evidence."""
    model = made(variants=[], checks=[check("finite_logits", verdict="error", message="out of memory\nlog: x")])

    assert matrix(model)["Model loads"] == State("Model loads", "fail", "out of memory")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_row_has_words_and_no_variant_is_lost(language: str) -> None:
    """Of green reports and failing ones: a row a feature, then variants that show none."""
    for report in (green_report(), failing_report()):
        for model in report.models:
            view = View(report, model, "zh" if language == "zh" else "en")
            table = feature_table(view)
            assert [row[0].text for row in table.rows[2:14]] == [
                word(view.language, f"feature_{one.name}") for one in FEATURES
            ]
            assert all(row[1].text == STATES[row[1].mark][language == "zh"] for row in table.rows)
            told = " ".join(cell.text for row in table.rows for cell in row)
            assert [one.variant for one in model.variants if one.variant not in told] == []


def test_a_card_has_all_features_in_fewer_rows() -> None:
    """Those that no variant shows share one."""
    report = green_report()
    view = View(report, report.models[0], "en")
    found = section("features", view)
    assert found is not None
    (table,) = found.blocks
    assert isinstance(table, Table)

    whole, told = feature_table(view), "; ".join(row[0].text for row in table.rows)
    assert len(table.rows) < len(whole.rows)
    assert [row[0].text for row in whole.rows if row[0].text not in told] == []
