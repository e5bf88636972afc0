"""A report's token agreement with and without ties, its list of mismatches that are no tie, and the floor's flips."""

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from npu_conformance.checks import CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.machine.storage import write_json
from npu_conformance.measure.rates import effective_n, rate_interval
from npu_conformance.measure.reference_runs import FLOOR
from npu_conformance.report.model import Report
from npu_conformance.report.renderers.markdown import render_markdown
from npu_conformance.report.tokens import Agreement, Mismatch, agreement, mismatches
from npu_conformance.report.words.labels import WORDS
from npu_conformance.report.write import write_report
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.trace import load_trace
from tests.unit.helpers.report_runs import Change, Runs, another, line, under
from tests.unit.helpers.scenes import SCORED, Scene

Language = Literal["en", "zh"]
TIES = 4
"""The candidate's, in the second prompt."""
FLIPS = {"dithered1": 2, "eager": 3, "sdpa": 7}
"""Those of the floor runs."""
WORTH = effective_n([200] * 3)


@pytest.fixture
def scene(scene: Scene) -> Scene:
    """The made-up run, its candidate made to take the reference's tokens, so that it may prefer others."""
    tell(scene, forced=True)
    return scene


def tell(scene: Scene, **changes: Any) -> None:
    """Change what the candidate's trace says of itself."""
    path = scene.folder / "candidate" / "trace.json"
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | changes)


def apart(by: float, steps: range) -> Change:
    """Another token's logit stands beside the largest one at these positions, higher by so much."""

    def change(rows: Rows) -> Rows:
        for step in steps:
            rows[step, another(rows[step : step + 1])] = rows[step].max() + np.float32(by)
        return rows

    return change


def exchange_ties(scene: Scene) -> Scene:
    """Twenty positions of the second prompt have two tokens a hair apart; some runs have the other one ahead."""
    for side, count in {
        "reference": 0,
        "candidate": TIES,
        **{f"{FLOOR}/{name}": n for name, n in FLIPS.items()},
    }.items():
        scene.edit_logits(side, 1, apart(-1e-3, range(20)))
        scene.edit_logits(side, 1, apart(1e-3, range(count)))
    return scene


@pytest.fixture
def tied(scene: Scene) -> Scene:
    """A candidate with ties."""
    return exchange_ties(scene)


def agreed(scene: Scene) -> Agreement:
    """What is found of the scene's candidate."""
    evidence = scene.evidence()
    found = agreement(evidence, evidence.comparison)
    assert found is not None
    return found


def mismatched(scene: Scene) -> list[Mismatch]:
    """What is listed of the scene's candidate."""
    evidence = scene.evidence()
    return mismatches(evidence, evidence.comparison)


def test_ties_count_in_one_of_two_rates(tied: Scene) -> None:
    """Each with its n and its interval; the raw one is what is judged."""
    found = agreed(tied)
    (check, *_) = CHECKS["token_agreement"].judge(tied.evidence())

    assert (found.raw.hits, found.raw.n, found.ties) == (600 - TIES, 600, TIES)
    assert (found.adjusted.hits, found.adjusted.n, found.adjusted.observed) == (600, 600, 1.0)
    assert (found.raw.observed, found.raw.interval) == (check.observed, check.interval)
    assert found.raw.interval == pytest.approx(rate_interval(600 - TIES, 600, WORTH))
    assert found.adjusted.interval == pytest.approx(rate_interval(600, 600, WORTH))
    assert mismatched(tied) == []


def test_the_floors_own_flips_say_how_many_ties_to_expect(tied: Scene) -> None:
    """Their mean, the least and the most of any floor run."""
    found = agreed(tied)

    assert (found.expected_ties, found.expected_range) == (4.0, (2, 7))


def test_a_realisation_that_is_the_candidates_own_expects_nothing(tied: Scene) -> None:
    """As it is left out of the gates."""
    tell(tied, provenance={"engine": "transformers"})
    found = agreed(tied)

    assert (found.expected_ties, found.expected_range) == (2.5, (2, 3))


def test_router_ties_are_counted(tied: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a mixture of experts; of a dense model nothing is said."""
    assert agreed(tied).router_ties is None
    monkeypatch.setattr(Evidence, "router_ties", np.arange(600) < 57)
    assert agreed(tied).router_ties == 57


def test_a_mismatch_that_is_no_tie_is_listed(tied: Scene) -> None:
    """With its place, both tokens, both leads, and how small they would have to be; ties beside it are not."""
    before = load_trace(tied.folder / "reference").logits(2)[7]
    tied.edit_logits("candidate", 2, apart(5.0, range(7, 8)))
    (found,) = mismatched(tied)
    evidence = tied.evidence()
    row = evidence.candidate.logits(2)[7]
    token, choice = int(row.argmax()), int(before.argmax())
    assert evidence.noise is not None

    assert (found.prompt, found.position) == ("set/third", 7)
    assert (found.candidate, found.reference) == (evidence.reference.piece(token), evidence.reference.piece(choice))
    assert found.margin == pytest.approx(float(before[choice] - before[token]))
    assert found.lead == pytest.approx(5.0, abs=1e-5)
    rms = float(np.sqrt(np.square(before.astype(np.float64)).mean()))
    assert found.width == pytest.approx(evidence.ties.positions[407] * rms)
    assert found.width < found.margin
    counts = agreed(tied)
    assert (counts.ties, counts.raw.hits, counts.adjusted.hits) == (TIES, 595, 599)


def test_a_candidate_that_is_sure_of_another_token_is_no_tie(scene: Scene) -> None:
    """However unsure the reference is there."""
    for side in ("candidate", *SCORED):
        scene.edit_logits(side, 0, apart(-1e-3, range(3, 4)))
    scene.edit_logits("candidate", 0, apart(2.0, range(3, 4)))
    (found,) = mismatched(scene)

    assert found.position == 3
    assert found.margin <= found.width < found.lead


def test_the_token_texts_are_the_references(scene: Scene) -> None:
    """With their ids."""
    scene.edit_logits("candidate", 0, lambda rows: set_largest(rows, 0, 4, another_than=4))

    shown = {one.candidate for one in mismatched(scene)} | {one.reference for one in mismatched(scene)}
    assert "' four' (#4)" in shown


def set_largest(rows: Rows, step: int, word: int, another_than: int) -> Rows:
    """A word far ahead; where it is the largest already, the next one."""
    word = word + 1 if int(rows[step].argmax()) == another_than else word
    rows[step, word] = rows[step].max() + 9
    return rows


@pytest.mark.parametrize("side", ["candidate", "reference"])
def test_logits_that_are_not_finite_have_no_lead(scene: Scene, side: str) -> None:
    """They are no tie, and no number is made of the rest of the row; the JSON has them."""

    def broken(rows: Rows) -> Rows:
        rows[11, 2] = np.nan
        return rows

    scene.edit_logits(side, 1, broken)
    (found,) = mismatched(scene)

    assert (found.prompt, found.position) == ("set/second", 11)
    assert np.isnan([found.margin, found.lead]).all()
    assert (found.reference is None) == (side == "reference")
    again = Mismatch.model_validate_json(found.model_dump_json())
    assert np.isnan(again.margin)


def test_a_token_that_a_nan_leaves_is_not_equal(scene: Scene) -> None:
    """Though its index is that of the first word, and so is the reference's choice."""

    def first_word(rows: Rows) -> Rows:
        rows[11, 0] = rows[11].max() + 9
        return rows

    def lost(rows: Rows) -> Rows:
        rows[11, 2] = np.nan
        return rows

    for side in ("candidate", *SCORED):
        scene.edit_logits(side, 1, first_word)
    assert mismatched(scene) == []
    scene.edit_logits("candidate", 1, lost)

    assert [one.position for one in mismatched(scene)] == [11]
    assert (agreed(scene).raw.hits, agreed(scene).adjusted.hits) == (599, 599)


def test_without_a_floor_there_is_no_rate_with_ties(scene: Scene) -> None:
    """Nor for a candidate of other weights, which the floor says nothing of; mismatches are listed all the same."""
    scene.edit_logits("candidate", 2, apart(5.0, range(7, 8)))
    bare = dataclasses.replace(scene.evidence(), noise=None)
    quantised = dataclasses.replace(scene.evidence(), config=scene.config.model_copy(update={"scheme": "w8a8"}))

    for evidence in (bare, quantised):
        assert agreement(evidence, evidence.comparison) is None
        assert [one.position for one in mismatches(evidence, evidence.comparison)] == [7]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_both_rates_stand_side_by_side(runs: Runs, language: Language) -> None:
    """A row a variant, each with n and interval; ties beside what the floor expects; the model's in the summary."""
    exchange_ties(runs.scene)
    runs.take(runs.scene.evidence())
    runs.variant("graph", observed={"graph": 1})
    report = runs.report()
    cells = line(report, "base", language, "agreement")
    summary = render_markdown(report, language).split("\n# ")[0]

    assert cells[1:4] == ["600", "99.33 %", "95.41 % – 99.99 %"]
    assert cells[4:6] == ["100 %", "96.58 % – 100 %"]
    assert cells[6:] == ["4", "4 (2 – 7)"]
    assert line(report, "graph", language, "agreement")[1] == "600"
    assert "| 99.33 % (95.41 % – 99.99 %), n = 600 | 100 % (96.58 % – 100 %), n = 600 |" in summary
    assert WORDS["mismatches"][language == "zh"] not in render_markdown(report, language)


def test_the_models_agreement_is_the_least_of_its_judged_variants(runs: Runs) -> None:
    """Others are made to take base's tokens, and may take texts of ours."""
    served = dataclasses.replace(exchange_ties(runs.scene).evidence(), variant="as_served")
    runs.take(served)
    runs.variant("graph", apart(5.0, range(20, 29)), observed={"graph": 1})
    (model,) = runs.report().models

    assert [one.agreement.raw.hits for one in model.variants if one.agreement] == [600, 596, 569]
    assert model.agreement is not None
    assert (model.agreement.variant, model.agreement.raw.hits) == ("as_served", 596)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_mismatches_are_listed_up_to_a_number(runs: Runs, tmp_path: Path, language: Language) -> None:
    """All of them in report.json, in the order of positions; the rest is counted in the Markdown."""
    runs.variant("graph", apart(5.0, range(9)), observed={"graph": 1})
    report = runs.report()
    write_report(report, tmp_path / "written")
    kept = Report.model_validate_json((tmp_path / "written" / "report.json").read_bytes()).models[0].variants[-1]
    text = render_markdown(report, language)
    shown = text.split(f"# {WORDS['mismatches'][language == 'zh']} ·")[1].split("\n## ")[0]
    rows = [row for row in shown.splitlines() if row.startswith("| set/")]

    places = [(prompt, step) for prompt in ("set/first", "set/second", "set/third") for step in range(9)]
    assert [(one.prompt, one.position) for one in kept.mismatches] == places
    assert len(rows) == 20
    first = kept.mismatches[0]
    assert first.reference is not None
    assert rows[0].startswith(f"| set/first | 0 | {first.candidate.replace('#', chr(92) + '#')} | ")
    assert rows[0].endswith(f"| {first.margin:.4f} | {first.lead:.4f} | {first.width:.4f} |")
    assert WORDS["mismatches_more"][language == "zh"].format(count=7) in shown
    assert "# graph ·" in shown


def test_a_run_without_effect_shows_neither(runs: Runs) -> None:
    """It says nothing about the variant."""
    effective = {"dtype": "bfloat16", "async_scheduling": False}
    runs.variant("async_scheduling", apart(5.0, range(9)), effective=effective, asked={})
    report = runs.report()
    text = render_markdown(report, "en")

    assert report.models[0].variants[-1].no_effect is not None
    assert not any("async" in row for row in under(text, "agreement"))
    assert WORDS["mismatches"][0] not in text
