"""Mistakes that weights of any format can suffer, made here in a way of their own, are placed and named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.audit.audit import audit
from tests.unit.helpers.published_checkpoints import (
    DOWN,
    GATE,
    Array,
    Published,
    ignore,
    only_problem,
    written,
)


def edited(change: Callable[[Array], Any]) -> Callable[[Array], Array]:
    """A fault that changes weights in place."""

    def fault(weights: Array) -> Array:
        changed: Array = weights.copy()
        change(changed)
        return changed

    return fault


def scale_part(part: Any, factor: Any) -> Callable[[Array], Array]:
    """A fault that multiplies a part."""
    return edited(lambda weights: weights.__setitem__(part, weights[part] * factor))


factors = np.random.default_rng(2).uniform(0.3, 3, 64)


PLAIN_FAULTS: dict[str, tuple[Callable[[Array], Array], str]] = {
    "zeros": (lambda w: w * 0, "as if it had been filled with zeros"),
    "zero rows": (scale_part(np.s_[3:9], 0), "as if it had been filled with zeros in rows 3 to 8"),
    "transposed": (lambda w: w.T, "as if it had been transposed"),
    "doubled": (lambda w: w * 2, "as if it had been multiplied by 2"),
    "slightly larger": (lambda w: w * np.float32(1.0125), "as if it had been multiplied by 1.01"),
    "negated": (lambda w: -w, "as if it had been multiplied by -1"),
    "row block": (scale_part(np.s_[16:32], 0.5), "as if it had been multiplied by 0.5 in rows 16 to 31"),
    "row": (scale_part(5, 1.5), "as if it had been multiplied by 1.5 in row 5"),
    "column block": (scale_part(np.s_[:, 60:], 3), "as if it had been multiplied by 3 in columns 60 to 63"),
    "block": (
        scale_part(np.s_[8:16, 24:32], 0.9),
        "as if it had been multiplied by 0.9 in rows 8 to 15, columns 24 to 31",
    ),
    "rows": (lambda w: w * factors[:, None], "as if every row had been multiplied by a factor of its own"),
    "columns": (lambda w: w * factors, "as if every column had been multiplied by a factor of its own"),
    "one element": (
        edited(lambda w: w.__setitem__((7, 9), w[7, 9] * 1.03)),
        "no mistake with a whole block or row, but damage of single elements in row 7, column 9",
    ),
    "random": (lambda w: np.roll(w, 1, axis=0), "no known mistake explains it"),
    "noise": (
        edited(lambda w: w.__setitem__(np.s_[:2], w[:2] + 0.01)),
        "no known mistake explains it in rows 0 to 1",
    ),
    "overflow": (scale_part(4, np.inf), "no known mistake explains it in row 4"),
    "nan": (scale_part(4, np.nan), "no known mistake explains it in row 4"),
}


@pytest.mark.parametrize(("fault", "cause"), PLAIN_FAULTS.values(), ids=PLAIN_FAULTS)
def test_mistakes_in_any_format(plain: Published, fault: Callable[[Array], Array], cause: str) -> None:
    """Named and placed, or honestly not named."""
    problem = only_problem(plain.audit({DOWN: fault(plain.weights[f"{DOWN}.weight"])}))

    assert problem.endswith(f"; {cause}")


def test_a_lost_ternary_scale(tmp_path: Path) -> None:
    """The candidate has -1, 0 and 1 only."""
    ternary = np.random.default_rng(3).integers(-1, 2, (64, 64)).astype(np.float32)
    source = written(tmp_path / "source", {f"{DOWN}.weight": ternary * factors[:, None].astype(np.float32)})
    candidate = written(tmp_path / "candidate", {f"{DOWN}.weight": ternary})

    problem = only_problem(audit(source, candidate, ignore))

    assert problem.endswith("; as if only its signs had been kept and the ternary scale lost")


@pytest.mark.parametrize("other", [DOWN.replace("1", "0"), GATE])
def test_weights_of_another_tensor(plain: Published, other: str) -> None:
    """The same of another layer, or another of the same layer."""
    problem = only_problem(plain.audit({DOWN: plain.weights[f"{other}.weight"]}))

    assert problem.endswith(f"; as if it had been taken from {other}.weight")


@pytest.mark.parametrize(
    ("coarse", "dtype"), [("bfloat16", "float16"), ("bfloat16", "float32"), ("float16", "float32")]
)
def test_rounded_on_the_way(gptq: Published, coarse: str, dtype: str) -> None:
    """To a coarser dtype than the one it is kept in."""
    import torch

    rounded = torch.from_numpy(gptq.weights[f"{DOWN}.weight"]).to(getattr(torch, coarse)).float().numpy()

    problem = only_problem(gptq.audit({DOWN: rounded}, dtype))

    assert problem.endswith(f"; as if it had been rounded to {coarse} on the way")


def test_a_norm_of_another_size(plain: Published) -> None:
    """Vectors are audited too, and not explained by a factor for each element."""
    weight = plain.weights["model.norm.weight"]
    wrong = {"model.norm": weight + np.random.default_rng(5).normal(size=64)}

    assert only_problem(plain.audit(wrong), "model.norm").endswith("; no known mistake explains it")
