"""Figures fail closed where a value is lost, and are exact where a trace is compared with itself, as gates are."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from npu_conformance.audit.scan import Scan
from npu_conformance.checks import CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.figures import agreement_interval, judge_figure, observe
from npu_conformance.config.limits import AGREEMENT_FIGURES, CLOSENESS_FIGURES, Figure
from npu_conformance.config.model import ModelConfig
from npu_conformance.measure.compare import compare
from npu_conformance.measure.comparison import Comparison
from npu_conformance.measure.floor import load_floor
from npu_conformance.measure.noise import TESTS
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.trace import PREFILL, load_trace
from tests.unit.helpers.small_traces import logits as made_up
from tests.unit.helpers.small_traces import moved, pair_of, tokens_of, write_floor, write_trace

FIGURES = (*AGREEMENT_FIGURES, *CLOSENESS_FIGURES)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_nan_keeps_no_figures_limit(figure: Figure) -> None:
    """Not even the most lenient one."""
    most = -math.inf if figure.sense == "min" else math.inf

    assert not figure.within(math.nan, most)


@pytest.fixture
def compared(tmp_path: Path) -> Evidence:
    """A run a little off the reference, with limits for every figure that it keeps."""
    exact = made_up(3, 8)
    pair = pair_of(tmp_path, [moved(one, 1e-3) for one in exact], exact)
    limits = {
        figure.name: {"value": 0.5 if figure.sense == "min" else 5.0, "reason": "wide enough"} for figure in FIGURES
    }
    config = ModelConfig.model_validate({"model": "a/b", "limits": limits})
    return Evidence("base", config, (), pair.candidate, pair.reference, Scan(findings=(), tensors=()))


def damaged(comparison: Comparison, position: int) -> Comparison:
    """The same with one position that no metric has a value of, and no token."""
    values = {name: array.copy() for name, array in comparison.values.items()}
    for array in values.values():
        array[position] = np.nan
    choices = comparison.choices.copy()
    choices[:] = -1
    return replace(comparison, values=values, choices=choices)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_one_value_that_is_lost_fails_a_figure(compared: Evidence, figure: Figure) -> None:
    """A mean, a percentile, a minimum or a maximum of values one of which is NaN, or of tokens that nobody chose."""
    pair = compared.pair
    assert judge_figure(compared, pair, "check", figure).verdict in ("pass", "inconclusive")
    pair.found = damaged(pair.comparison, 13)
    check = judge_figure(compared, pair, "check", figure)

    assert check.verdict == "fail"
    assert math.isnan(observe(pair.comparison, figure)) or figure.name == "token_agreement"
    if figure.name != "token_agreement":
        assert "set/1, position 5" in (check.where or "")


PROMPTS, STEPS = 40, 24


@pytest.fixture
def control(tmp_path: Path) -> Evidence:
    """A candidate, decode and prefill, that is the reference bit for bit, held against a floor that is not."""
    exact = made_up(PROMPTS, STEPS)
    everything: dict[str, Sequence[Rows]] = {"candidate": exact, f"candidate/{PREFILL}": exact, "reference": exact}
    for name, run in everything.items():
        write_trace(tmp_path / name, run, tokens=tokens_of(exact))
    for seed in range(3):
        write_floor(tmp_path, str(seed), [moved(one, 4e-3, 100 * seed + index) for index, one in enumerate(exact)])
    return Evidence(
        variant="base",
        config=ModelConfig(model="a/b"),
        prompts=(),
        candidate=load_trace(tmp_path / "candidate"),
        reference=load_trace(tmp_path / "reference"),
        scan=Scan(findings=(), tensors=()),
        noise=load_floor(tmp_path),
    )


def test_a_trace_compared_with_itself_is_exact(control: Evidence) -> None:
    """Every error is exactly 0, agreement and overlap exactly 1."""
    comparison = compare(control.candidate, control.reference)
    seen = {figure.name: observe(comparison, figure) for figure in FIGURES}

    assert {name for name, value in seen.items() if value == 0} == {
        figure.name for figure in FIGURES if figure.sense == "max"
    }
    assert (seen["token_agreement"], seen["top5_overlap"]) == (1, 1)
    assert [seen[name] for name in ("cosine_mean", "cosine_min", "pearson_mean")] == pytest.approx([1, 1, 1], abs=1e-12)
    assert comparison.equal.all()
    assert not comparison.ties(1.0).any()


@pytest.mark.parametrize("name", sorted(set(TESTS) - {"sets_over_floor"}))  # all prompts are of one set
def test_a_trace_compared_with_itself_passes_every_gate(control: Evidence, name: str) -> None:
    """Held against a floor that is not zero: better than rounding is no fault."""
    checks = CHECKS[name].judge(control)

    assert control.noise is not None
    assert min(float(np.exp(one.row).min()) for one in control.noise.floor_runs.values()) > 1e-3
    assert {check.path for check in checks} == ({"decode", "prefill"} if name == "error_over_floor" else {"decode"})
    assert [check.verdict for check in checks] == ["pass"] * len(checks)
    assert all(check.p_adjusted == pytest.approx(1, abs=1e-3) for check in checks)


def test_mismatches_of_one_prompt_say_less_of_the_rate(control: Evidence) -> None:
    """Twelve in one answer, and one each in twelve: the interval knows which of a run's positions are of one prompt."""
    together, scattered = (np.ones(PROMPTS * STEPS, dtype=np.bool_) for _ in range(2))
    together[:12] = scattered[: 12 * STEPS : STEPS] = False
    wide, narrow = (agreement_interval(control.comparison, equal) for equal in (together, scattered))

    assert wide[0] < narrow[0] - 0.01
    assert wide[1] > narrow[1]
