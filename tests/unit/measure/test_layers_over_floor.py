"""Attentions and MLPs against their own floor: one that is off is named, and chance or other kernels are not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from npu_conformance.config.limits import FALSE_ALARMS
from npu_conformance.errors import TraceError
from npu_conformance.measure.module_errors import (
    ModuleErrors,
    load_module_errors,
    module_error,
    save_module_errors,
)
from npu_conformance.measure.noise import GateResult, NoAnswer, points_found
from npu_conformance.measure.noise.layers import layers_over_floor
from tests.unit.helpers.scenes import drawn_module_errors

LIMIT = 1.1
PROMPTS = tuple(f"set/{number}" for number in range(24))


def off(errors: ModuleErrors, points: list[int], times: float) -> ModuleErrors:
    """The same with some points that err by so many times as much."""
    candidate = errors.candidate.copy()
    candidate[..., points] += np.log(times)
    return replace(errors, candidate=candidate)


def found_in(errors: ModuleErrors) -> GateResult:
    """What the test finds of them."""
    found = layers_over_floor(errors, LIMIT)
    assert isinstance(found, GateResult)
    return found


def test_one_attention_that_is_off_by_a_quarter_is_found_and_named() -> None:
    """Of twenty-eight layers."""
    found = found_in(off(drawn_module_errors(PROMPTS, layers=28), [30], 1.25))

    assert found.tested.p_value < FALSE_ALARMS / 10
    assert found.worst == 30
    assert found.tested.observed == pytest.approx(1.25, rel=0.05)


def test_the_first_of_several_is_named() -> None:
    """Not the worst."""
    assert found_in(off(off(drawn_module_errors(PROMPTS), [3], 4.0), [0], 1.6)).worst == 0


def test_kernels_that_round_more_in_every_layer_pass_up_to_a_fifth() -> None:
    """Beyond that the first is beyond its floor, though all are alike."""
    clean = drawn_module_errors(PROMPTS, layers=6)
    attentions = list(range(0, 12, 2))

    assert found_in(off(clean, attentions, 1.15)).tested.p_value == 1.0
    assert found_in(off(clean, attentions, 1.6)).tested.p_value < 1e-4


def test_a_module_that_errs_less_than_its_floor_excuses_no_other() -> None:
    """What all have is the median, and never less than nothing."""
    found = points_found(off(drawn_module_errors(PROMPTS, layers=6), [0, 2, 4, 6], 0.5), LIMIT)

    assert all(one.alike >= 1.0 for one in found)


def test_nan_is_beyond_every_floor() -> None:
    """As of a module that overflows."""
    errors = drawn_module_errors(PROMPTS)
    errors.candidate[3, 2, 1] = np.nan
    found = found_in(errors)

    assert (found.worst, found.tested.p_value) == (1, 0.0)


def test_seven_prompts_say_nothing() -> None:
    """They could not tell one module of many from chance."""
    found = layers_over_floor(drawn_module_errors(PROMPTS[:7]), LIMIT)

    assert isinstance(found, NoAnswer)
    assert found.why == "7 prompts: at least 8 are needed"


def test_rounding_alone_hardly_ever_fails() -> None:
    """Even where all modules of a kind are just within what they may be off by alike."""
    drawn = [off(drawn_module_errors(PROMPTS, 12, seed), list(range(0, 24, 2)), 1.19) for seed in range(300)]

    assert sum(found_in(one).tested.p_value <= FALSE_ALARMS for one in drawn) == 0


def test_errors_by_hand() -> None:
    """Relative to the exact row, and its part along it."""
    exact = np.array([[3.0, 4.0], [0.0, 0.0]])
    error, along = module_error(exact + np.array([[0.3, 0.4], [1.0, 0.0]]), exact)

    assert np.exp(error[0]) == pytest.approx(0.1)
    assert along[0] == pytest.approx(0.1)
    assert not np.isfinite(error[1])


def test_what_was_measured_is_read_back(tmp_path: Path) -> None:
    """And what another version wrote, or what does not fit together, is refused."""
    path, errors = tmp_path / "module_errors.npz", drawn_module_errors(PROMPTS)
    save_module_errors(path, errors)
    found = load_module_errors(path)

    assert found is not None
    assert (found.points, found.prompts) == (errors.points, errors.prompts)
    np.testing.assert_array_equal(found.floor, errors.floor)
    assert load_module_errors(tmp_path / "none.npz") is None

    save_module_errors(path, replace(errors, along=errors.along[:, :2]))
    with pytest.raises(TraceError, match="not of the same points, prompts and rows"):
        load_module_errors(path)
    np.savez(path, version=np.array(99))
    with pytest.raises(TraceError, match="has version 99, this version reads 1; run the model again"):
        load_module_errors(path)
