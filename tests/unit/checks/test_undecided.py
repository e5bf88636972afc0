"""What is open says what is judged, why it is open and what to do; nothing passes on too small a sample."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from npu_conformance.audit.scan import Scan
from npu_conformance.checks import CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.figures import judge_figure
from npu_conformance.checks.noise import _undecided
from npu_conformance.config.limits import FIGURES
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.prompts import SHIPPED, PromptUse, load_prompts
from npu_conformance.measure import statistics
from npu_conformance.measure.floor import load_floor
from npu_conformance.measure.noise import GateResult
from npu_conformance.measure.results import Result
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.trace import load_trace
from tests.unit.helpers.small_traces import logits, moved, tokens_of, write_floor, write_trace

MEANS = ("cosine_mean", "pearson_mean", "relative_l2_mean")


def evidence_of(folder: Path, mine: list[Rows], exact: list[Rows], floor: list[list[Rows]] | None = None) -> Evidence:
    """A candidate over the reference's tokens, with or without a noise floor."""
    for name, rows in (("candidate", mine), ("reference", exact)):
        write_trace(folder / name, rows, tokens=tokens_of(exact))
    for number, run in enumerate(floor or []):
        write_floor(folder, str(number), run)
    noise = load_floor(folder) if floor else None
    traces = load_trace(folder / "candidate"), load_trace(folder / "reference")
    config = ModelConfig(model="a/b")
    return Evidence("base", config, (), *traces, Scan(findings=(), tensors=()), noise=noise)


def figure_of(evidence: Evidence, name: str) -> Result:
    """One figure of a run."""
    return judge_figure(evidence, evidence.pair, "check", FIGURES[name])


@pytest.mark.parametrize("name", MEANS)
def test_one_prompt_has_no_spread_and_does_not_pass(tmp_path: Path, name: str) -> None:
    """However near it is."""
    exact = logits(1, 40)
    check = figure_of(evidence_of(tmp_path, [moved(exact[0], 1e-4)], exact), name)

    assert (check.verdict, check.interval) == ("inconclusive", None)
    assert (check.message or "").startswith("1 prompt cannot show ")
    assert (check.message or "").endswith(": use --prompts 3")


@pytest.mark.parametrize(("sizes", "verdict"), [((0.005, 0.0052), "pass"), ((0.002, 0.019), "inconclusive")])
def test_two_prompts_pass_where_they_are_alike(tmp_path: Path, sizes: tuple[float, ...], verdict: str) -> None:
    """And leave it open where they are not, though both keep the limit."""
    exact = logits(2, 40)
    mine = [moved(one, size, seed) for seed, (one, size) in enumerate(zip(exact, sizes, strict=True))]
    check = figure_of(evidence_of(tmp_path, mine, exact), "relative_l2_mean")

    assert check.interval is not None
    assert check.verdict == verdict


@pytest.mark.parametrize("name", MEANS)
def test_a_prompt_that_is_equal_bit_for_bit_does_not_take_the_interval_away(tmp_path: Path, name: str) -> None:
    """Its loss has no logarithm."""
    exact = logits(12, 20)
    mine = [moved(one, 0.004, seed) if seed else one for seed, one in enumerate(exact)]
    check = figure_of(evidence_of(tmp_path, mine, exact), name)

    assert check.interval is not None
    assert check.interval[0] <= (check.observed or 0) <= check.interval[1]
    assert check.verdict == "pass"


def test_few_prompts_that_are_off_among_equal_ones_leave_it_open(tmp_path: Path) -> None:
    """The mean keeps the limit, what more prompts would show does not have to."""
    exact = logits(6, 20)
    mine = [moved(one, 0.09, seed) if seed == 0 else one for seed, one in enumerate(exact)]
    check = figure_of(evidence_of(tmp_path, mine, exact), "relative_l2_mean")

    assert (check.observed or 1) < 0.02
    assert check.verdict == "inconclusive"
    assert "6 prompts cannot show 2 % with 95 % confidence" in (check.message or "")


def test_more_prompts_are_advised_only_where_there_are_so_many(tmp_path: Path) -> None:
    """Else how many there are, and where to add some."""
    exact = logits(3, 8)
    few = evidence_of(tmp_path, [moved(one, 1e-3) for one in exact], exact)
    told = [
        figure_of(dataclasses.replace(few, prompts_there=there), "token_agreement").message for there in (None, 204, 20)
    ]

    assert told[0] == told[1]
    assert (told[0] or "").startswith("24 positions cannot show 99 % with 95 % confidence: use --prompts ")
    needed, shows = (told[0] or "").split("use --prompts ")[1].split(". ")
    assert told[2] == (
        f"24 positions cannot show 99 % with 95 % confidence. About {needed} prompts are needed, and the sets with the "
        f"reserve hold 20: add prompts of your own to a set in model_configs/prompts. {shows}"
    )


def test_a_gate_of_which_not_each_prompt_counts_asks_for_more_of_all(tmp_path: Path) -> None:
    """Nine of twelve answers are long enough for drift: 20 such come of 27 prompts, and a margin is left."""
    exact = logits(12, 8)
    evidence = evidence_of(tmp_path, [moved(one, 1e-3) for one in exact], exact)
    asked = load_prompts([PromptUse(set="general")], SHIPPED)[:12]
    found = GateResult(statistics.Tested(1.1, (1.0, 1.4), 0.2), 1.3, 9, prompts_needed=20)

    message = _undecided(dataclasses.replace(evidence, prompts=tuple(asked)), "drift", found, (1.0, 1.4))
    assert message == "9 prompts cannot show 1.3 with 95 % confidence: use --prompts 34"


def test_agreement_says_which_number_is_judged(tmp_path: Path) -> None:
    """Shown is how many tokens are equal; judged, with ties."""
    exact = [one.copy() for one in logits(6, 20)]
    for one in exact:
        near = one[0].argsort()[-2]
        one[0, near] = one[0].max() - 1e-3
    tied = [one.copy() for one in exact]
    for one in tied[:2]:
        one[0, one[0].argsort()[-2]] += 2e-3
    floor = [[moved(one, 4e-3, 50 * run + seed) for seed, one in enumerate(exact)] for run in range(3)]
    check = figure_of(evidence_of(tmp_path, tied, exact, floor), "token_agreement")

    assert check.observed == pytest.approx(118 / 120)
    assert check.verdict == "inconclusive"
    sentence, reason, shows = (check.message or "").split(". ")
    assert sentence.startswith("100 % with ties is judged (")
    assert sentence.endswith("to 100 %), not 98.33 %: rounding alone exchanges tied tokens")
    assert reason.startswith("120 positions cannot show 99 % with 95 % confidence: use --prompts ")
    assert shows.startswith("120 of 120 shows at least 9")


def test_a_limit_that_the_floor_breaks_is_the_publishers_alone(tmp_path: Path) -> None:
    """It is shown, with what the floor has; a candidate that has no number still fails."""
    exact = logits(8, 20)
    floor = [[moved(one, 0.2, 50 * run + seed) for seed, one in enumerate(exact)] for run in range(3)]
    mine = [moved(one, 0.2, 900 + seed) for seed, one in enumerate(exact)]
    broken = figure_of(evidence_of(tmp_path / "a", mine, exact, floor), "relative_l2_mean")
    kept = figure_of(
        evidence_of(tmp_path / "b", mine, exact, [[moved(x, 4e-3, i) for x in exact] for i in range(3)]),
        "relative_l2_mean",
    )

    assert (broken.verdict, kept.verdict) == ("shown", "fail")
    assert broken.limit == kept.limit == 0.02
    assert broken.floor is not None
    assert kept.floor is not None
    assert broken.floor > 0.02 > kept.floor
    assert "is broken by rounding alone. The gates against the noise floor judge instead" in (broken.message or "")


def test_a_limit_that_the_worst_of_a_floor_run_is_near_to_is_the_publishers_alone(tmp_path: Path) -> None:
    """In another run the worst position is another one, and may be twice as far off. A mean hardly scatters."""
    exact = logits(8, 20)
    floor = [[moved(one, 4e-3, 50 * run + seed) for seed, one in enumerate(exact)] for run in range(3)]
    for run in floor:
        run[0][7] = moved(exact[0][7:8], 0.06)[0]
    mine = [moved(one, 4e-3, 900 + seed) for seed, one in enumerate(exact)]
    mine[0][7] = moved(exact[0][7:8], 0.11)[0]
    near = evidence_of(tmp_path / "a", mine, exact, floor)
    far = evidence_of(tmp_path / "b", mine, exact, [[moved(x, 4e-3, i) for x in exact] for i in range(3)])
    worst, judged = figure_of(near, "relative_l2_max"), figure_of(far, "relative_l2_max")

    assert (worst.verdict, judged.verdict) == ("shown", "fail")
    assert "is near the limit 10 % or beyond it. The gates against the noise floor judge instead" in (
        worst.message or ""
    )


def test_gates_of_too_few_prompts_are_open(tmp_path: Path) -> None:
    """For there are more to be had."""
    exact = logits(2, 60)
    floor = [[moved(one, 4e-3, 50 * run + seed) for seed, one in enumerate(exact)] for run in range(3)]
    checks = CHECKS["error_over_floor"].judge(
        evidence_of(tmp_path, [moved(one, 4e-3, 900) for one in exact], exact, floor)
    )

    assert {check.verdict for check in checks} == {"inconclusive"}
    assert {check.message for check in checks} == {"2 prompts: at least 3 are needed: use --prompts 3 or more"}


def test_a_worst_case_that_could_hardly_fail_is_no_pass(tmp_path: Path) -> None:
    """Floor runs that scatter over many orders, as a mixture's do; still, what is beyond even them fails."""
    exact = logits(3, 60)

    def scattered(seed: int, factor: float = 1.0) -> list[Rows]:
        random = np.random.default_rng(seed)
        sizes = [0.005 * np.exp(3 * random.standard_normal((len(rows), 1))) for rows in exact]
        sizes[1][7] *= factor
        noise = [random.standard_normal(rows.shape) for rows in exact]
        return [
            np.asarray(rows + size * one, dtype=np.float32) for rows, size, one in zip(exact, sizes, noise, strict=True)
        ]

    floor = [scattered(seed) for seed in range(4)]
    for factor, verdict in ((1.0, "shown"), (1e12, "fail")):
        evidence = evidence_of(tmp_path / verdict, scattered(9, factor), exact, floor)
        (check,) = CHECKS["worst_positions"].judge(evidence)
        assert check.verdict == verdict
        assert check.limit is not None
        assert check.limit > 100
        assert ("times their error would fail" in (check.message or "")) is (verdict == "shown")
