"""A run beside the current baseline: what is a regression, what is not, what cannot be told."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from npu_conformance.baselines import keeping
from npu_conformance.baselines.against import BaselineDiff, since
from npu_conformance.baselines.stored import read_baseline
from npu_conformance.checks import CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.results import Result
from tests.unit.helpers.baseline_runs import FACTS, baseline_of, held, noisy
from tests.unit.helpers.scenes import Scene


def by_metric(evidence: Evidence) -> dict[str, Result]:
    """The checks of the gate."""
    return {check.metric: check for check in CHECKS["regression"].judge(evidence)}


def test_the_same_run_again_is_no_worse(scene: Scene) -> None:
    """Its error is what it was, up to the digits a baseline keeps; of flips three prompts say too little."""
    checks = by_metric(held(scene, baseline_of(scene.evidence())))

    assert checks["flips_growth"].verdict == "inconclusive"
    assert {check.verdict for name, check in checks.items() if name != "flips_growth"} == {"pass", "shown"}
    assert checks["error_growth"].observed == pytest.approx(1, abs=1e-3)
    assert checks["baseline_tokens"].observed == 1
    assert checks["baseline_kl"].observed == pytest.approx(0, abs=1e-7)


def test_an_error_that_grew_is_a_regression(scene: Scene) -> None:
    """Though every token is still the reference's."""
    found = baseline_of(scene.evidence())
    for index in range(3):
        scene.edit_logits("candidate", index, noisy(0.02))
    checks = by_metric(held(scene, found))

    assert checks["error_growth"].verdict == "fail"
    assert "relative error" in (checks["error_growth"].where or "")
    assert checks["flips_growth"].verdict == "inconclusive"


def test_an_error_that_shrank_is_none(scene: Scene) -> None:
    """A better engine is no regression."""
    clean = baseline_of(scene.evidence())
    for index in range(3):
        scene.edit_logits("candidate", index, noisy(0.02))
    worse = baseline_of(scene.evidence())
    for index in range(3):
        scene.edit_logits("candidate", index, lambda rows: rows)

    assert by_metric(held(scene, worse))["error_growth"].verdict == "pass"
    assert by_metric(held(scene, clean))["error_growth"].verdict == "fail"


def test_only_what_both_had_seen_is_compared(scene: Scene) -> None:
    """Beyond another token the two forced decode different texts."""
    found = baseline_of(scene.evidence())
    tokens = list(scene.evidence().candidate.answers[1].token_ids)
    tokens[50] = 1 + tokens[50] % 19
    for side in ("candidate", "reference", *(f"floor/{name}" for name in ("dithered1", "eager", "sdpa"))):
        scene.edit_answer(side, 1, token_ids=tokens)
    checks = by_metric(held(scene, found))

    assert checks["error_growth"].n == 200 + 51 + 200
    assert "451 of the baseline's 600" in (checks["error_growth"].message or "")


def test_the_files_that_changed_are_named(scene: Scene) -> None:
    """Of the reference's weights; a baseline of an earlier version, without them, is whole all the same."""

    def files(**digests: str) -> dict[str, Any]:
        listed = [{"name": f"{name}.json", "sha256": sha} for name, sha in digests.items()]
        return FACTS | {"reference_digest": "".join(digests.values()), "files": listed, "reference_files": []}

    found = baseline_of(scene.evidence(), facts=files(a="1", b="2", c="3"))
    earlier = json.loads(baseline_of(scene.evidence()).text())
    del earlier["identity"]["reference_files"]

    assert keeping.outdated(found, files(a="1", b="2", c="3")) is None
    told = keeping.outdated(found, files(a="1", b="4", d="5"))
    assert (told or "").startswith("the weights of the reference (b.json, c.json, d.json) changed: 123 in the baseline")
    assert (keeping.outdated(found, FACTS) or "").startswith("the weights of the reference changed")
    (scene.folder / "earlier.json").write_text(json.dumps(earlier))
    assert read_baseline(scene.folder / "earlier.json").identity.reference_files == {}


def test_other_weights_or_prompts_are_said_by_name(scene: Scene) -> None:
    """They are not compared."""
    found = baseline_of(scene.evidence())

    assert keeping.outdated(found, FACTS) is None
    for key, name in (
        ("reference_digest", "weights of the reference"),
        ("adapter_digest", "LoRA"),
        ("kind", "subject"),
    ):
        assert f"the {name} changed" in (keeping.outdated(found, FACTS | {key: "other"}) or "")
    scene.edit_answer("candidate", 2, prompt_ids=[9, 9])
    scene.edit_answer("reference", 2, prompt_ids=[9, 9])
    (check,) = CHECKS["regression"].judge(held(scene, found))
    assert check.verdict == "error"
    assert "set/third: its token ids are not those" in (check.message or "")


def test_what_is_outdated_is_an_error_and_what_is_missing_is_told(scene: Scene) -> None:
    """Neither passes for a comparison."""
    (missing,) = CHECKS["regression"].judge(scene.evidence())
    (outdated,) = CHECKS["regression"].judge(dataclasses.replace(scene.evidence(), outdated="the weights changed"))

    assert (missing.verdict, outdated.verdict) == ("not_applicable", "error")
    assert "--baseline=create" in (missing.message or "")


METRICS = ("error_growth", "flips_growth")


def with_flips(evidence: Evidence, prompts: int, flips: int, missing: int = 0) -> Evidence:
    """A run of so many prompts of ten positions, with so many new flips in each; of a baseline that has more."""
    n = prompts * 10
    bounds = tuple(range(0, n + 1, 10))
    row = np.random.default_rng(4).normal(-5, 0.01, size=n)
    clean = Deviations(bounds, row, row, row, np.zeros(n, dtype=bool), *np.zeros((2, n, 4)))
    now = dataclasses.replace(clean, flipped=np.arange(n) % 10 < flips)
    names = tuple(f"set/{index}" for index in range(prompts))
    tokens = (np.zeros(n, dtype=np.int64), now.flipped.astype(np.int64))
    found = dataclasses.replace(evidence)
    found.__dict__["since"] = BaselineDiff(names, bounds, clean, now, np.zeros(n), tokens, n, ("",) * missing)
    return found


@pytest.mark.parametrize(
    ("prompts", "flips", "verdict"),
    [(14, 5, "fail"), (5, 5, "inconclusive"), (14, 0, "inconclusive"), (40, 0, "pass")],
)
def test_flips_that_became_more_frequent(scene: Scene, prompts: int, flips: int, verdict: str) -> None:
    """A regression where there are prompts enough to say so; never a silent pass of a few."""
    found = by_metric(with_flips(held(scene, baseline_of(scene.evidence())), prompts, flips))

    assert (found[METRICS[0]].verdict, found[METRICS[1]].verdict) == ("pass", verdict)
    if verdict == "inconclusive":
        assert (
            found[METRICS[1]].message == f"{prompts} prompts cannot tell whether flips are more frequent than they were"
        )


@pytest.mark.parametrize(
    ("missing", "remedy"),
    [(0, ""), (5, ""), (8, ": use --prompts 22"), (100, ": use --prompts 25")],
)
def test_flips_that_few_prompts_cannot_tell(scene: Scene, missing: int, remedy: str) -> None:
    """More of them would, where the baseline has so many: with a margin, and no more than it has."""
    found = by_metric(with_flips(held(scene, baseline_of(scene.evidence())), 14, 0, missing))[METRICS[1]]

    assert found.message == f"14 prompts cannot tell whether flips are more frequent than they were{remedy}"
    if remedy:
        more = with_flips(held(scene, baseline_of(scene.evidence())), int(remedy.rsplit(" ", 1)[1]), 0)
        assert by_metric(more)[METRICS[1]].verdict == "pass"


def test_what_is_to_be_replaced_is_shown_and_decides_nothing(scene: Scene) -> None:
    """Or no run could ever take the place of one that it differs from."""
    found = baseline_of(scene.evidence())
    for index in range(3):
        scene.edit_logits("candidate", index, noisy(0.02))
    worse = dataclasses.replace(held(scene, found), replacing=True)
    checks = by_metric(worse)

    assert {check.verdict for check in checks.values()} == {"not_applicable"}
    assert (checks[METRICS[0]].observed or 0) > 1.1
    assert "against the old baseline this run would be fail" in (checks[METRICS[0]].message or "")
    (outdated,) = CHECKS["regression"].judge(dataclasses.replace(worse, baseline=None, outdated="the weights changed"))
    assert (outdated.verdict, outdated.message) == (
        "not_applicable",
        "the baseline is to be replaced: the weights changed",
    )
    scene.edit_answer("candidate", 2, prompt_ids=[9, 9])
    scene.edit_answer("reference", 2, prompt_ids=[9, 9])
    (other,) = CHECKS["regression"].judge(dataclasses.replace(held(scene, found), replacing=True))
    assert other.verdict == "not_applicable"
    assert "set/third" in (other.message or "")


def test_prompts_that_were_not_asked_are_named_as_such(scene: Scene) -> None:
    """And not taken for texts that went another way."""
    found = baseline_of(scene.evidence())
    evidence = held(scene, found)
    fewer = dataclasses.replace(evidence.candidate, answers=evidence.candidate.answers[:2])
    compared = since(fewer, found)

    assert compared.missing == ("set/third",)
    assert compared.positions == compared.bounds[-1] == 400
