"""A quantised candidate against a floor that is quantised likewise: a correct one is within it, a wrong one is not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.engines import quantised
from npu_conformance.engines.reference import floor as floor_run
from npu_conformance.engines.reference.scoring import Scorer
from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.floor import load_floor, load_quantised
from npu_conformance.measure.noise import GateResult, family
from npu_conformance.measure.reference_runs import noise_floor, quantisation
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.trace import load_trace
from npu_conformance.workers.scorer_job import FloorJob, ScorerJob
from tests.unit.helpers.modelslim_checkpoints import save_modelslim, save_plain, texts
from tests.unit.helpers.rounded_rows import ALARMS, LIMITS, measured
from tests.unit.helpers.small_traces import write_trace

STEPS = 16
TOKENS = [(*first, *second)[:STEPS] for first, second in zip(texts(30, 2), texts(30, 3), strict=True)]
PROMPTS = [(1, 2, 3 + index) for index in range(len(TOKENS))]  # as `write_trace` has them


def silent(*_: object) -> None:
    """No progress."""


class Run:
    """A reference of the plain weights, and what was measured beside it."""

    def __init__(self, folder: Path) -> None:
        self.plain = save_plain(folder / "plain")
        self.codes = save_modelslim(folder / "codes", self.plain)
        self.cache, self.base = folder / "cache", folder / "base"
        self.cache.mkdir()
        self.exact = self.rows(self.plain, "float32", as_candidate=False)
        reference = write_trace(self.base / "reference", self.exact, tokens=TOKENS)
        told = (reference / "trace.json").read_text()
        (reference / "trace.json").write_text(
            told.replace('"provenance": {', '"provenance": {"setting": {"dtype": "float32"},')
        )
        for one in (*noise_floor("bfloat16", "sdpa"), quantisation("sdpa")):
            job = FloorJob(
                **self.common(self.codes, one.dtype, quantised=True),
                attn_implementation=one.attn_implementation,
                dither=one.dither,
                output=self.base / f"{one.name}.npz",
                reference=reference,
            )
            floor_run.run(job, silent)

    def common(self, checkpoint: Path, dtype: str, quantised: bool) -> dict[str, Any]:
        """What jobs say."""
        about = {"checkpoint": checkpoint, "checkpoint_digest": checkpoint.name, "cache": self.cache}
        return about | {"dtype": dtype, "quantised": quantised}

    def rows(self, checkpoint: Path, dtype: str, *, as_candidate: bool, dither: int | None = None) -> list[Rows]:
        """Logits of each sequence, computed now."""
        common = self.common(checkpoint, dtype, quantised=as_candidate)
        job = ScorerJob(**common, output=self.cache / "unused", attn_implementation="sdpa", dither=dither)
        scored = Scorer(job, silent).score(list(zip(PROMPTS, TOKENS, strict=True)), adapted=True)
        return [one.rows for one in sorted(scored, key=lambda one: one.place)]

    def candidate(self, dither: int = 7, *, as_candidate: bool = True) -> Deviations:
        """Another run of the codes in bfloat16."""
        return measured(self.rows(self.codes, "bfloat16", as_candidate=as_candidate, dither=dither), self.exact)

    def judged(self, candidate: Deviations) -> tuple[set[str], float]:
        """Gates that fail, and the error over the floor."""
        floor = load_floor(self.base)
        assert floor is not None
        found, adjusted = family(candidate, None, floor.floor_runs, LIMITS, ALARMS)
        ratio = found["error_over_floor", "decode"]
        assert isinstance(ratio, GateResult)
        return {name for (name, _), p_value in adjusted.items() if p_value <= ALARMS}, ratio.tested.observed


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Made once."""
    return Run(tmp_path_factory.mktemp("quantised"))


@pytest.mark.parametrize("dither", [3, 4, 5])
def test_another_correct_run_is_within_the_floor(run: Run, dither: int) -> None:
    """Nothing fails, and its error is the floor's."""
    failed, ratio = run.judged(run.candidate(dither))

    assert failed == set()
    assert ratio == pytest.approx(0.97, abs=0.06)


def half_the_codes(rounding: Callable[..., Any]) -> Callable[..., Any]:
    """Inputs have every second code only, so that quantising them errs twice as much."""

    def faulty(states: Any, scale: Any, codes: str, zero: float = 0.0) -> Any:
        return rounding(states, 2 * scale, codes, zero / 2)

    return faulty


def test_an_error_that_is_doubled_is_caught(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the two gates on its size."""
    monkeypatch.setattr(quantised, "_values", half_the_codes(quantised._values))

    failed, ratio = run.judged(run.candidate())

    assert {"error_over_floor", "peak_over_floor"} <= failed
    assert 1.4 < ratio < 2.2


def test_against_the_plain_floor_a_correct_one_would_fail(run: Run) -> None:
    """Its error is a multiple of what rounding the weights' dtype costs."""
    plain = run.candidate(as_candidate=False)
    correct = run.candidate()

    assert np.median(correct.row - plain.row) > np.log(1.2)


def test_the_quantised_model_in_float32_would_be_no_sharper_reference(run: Run) -> None:
    """One rounding before a layer changes codes in it: a correct candidate is as far from it as from the original."""
    candidate = run.rows(run.codes, "bfloat16", as_candidate=True, dither=7)
    quantised_exactly = run.rows(run.codes, "float32", as_candidate=True)

    apart, from_original = measured(candidate, quantised_exactly), measured(candidate, run.exact)

    assert np.median(apart.row - from_original.row) > np.log(0.8)


def test_what_quantisation_costs_by_itself_is_kept_apart(run: Run) -> None:
    """In float32 against the same reference, at its positions, and in no floor."""
    cost, floor = load_quantised(run.base), load_floor(run.base)

    assert cost is not None
    assert floor is not None
    assert set(floor.runs) == {"sdpa", "eager", "dithered1", "dithered2"}
    expected = measured(run.rows(run.codes, "float32", as_candidate=True), run.exact)
    assert np.allclose(cost.comparison.deviations.row, expected.row, atol=1e-4)
    assert len(load_trace(run.base / "reference").answers) == len(TOKENS)


def test_runs_of_the_same_weights_without_quantisation_are_other_entries(run: Run) -> None:
    """What was scored with plain inputs must not be taken for it."""
    settings = [
        Scorer(
            ScorerJob(**run.common(run.codes, "float32", quantised=on), output=run.cache, attn_implementation="sdpa"),
            silent,
        ).setting
        for on in (False, True)
    ]

    assert settings[0] != settings[1]
    assert settings[0].items() <= settings[1].items()
