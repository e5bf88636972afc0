"""Logits of a model, of floor runs and of faulty runs of it, without traces on disk."""

from typing import Any

import numpy as np

from npu_conformance.config.limits import NOISE_FIGURES
from npu_conformance.measure.deviations import Deviations, deviations_of
from npu_conformance.measure.metrics import measured as rows_of

PROMPTS, STEPS, VOCABULARY = 40, 24, 300
LIMITS = {figure.name: figure.default_limit("bfloat16") or 0.0 for figure in NOISE_FIGURES}
ALARMS = 1e-3
Rows = list[np.ndarray]


def references(seed: int = 0) -> Rows:
    """Logits of prompts of unequal lengths, the largest a little ahead."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(STEPS // 2, STEPS + 1, PROMPTS)
    rows = [rng.normal(size=(length, VOCABULARY)) * 2 for length in lengths]
    for one in rows:
        one[np.arange(len(one)), rng.integers(0, VOCABULARY, len(one))] += 9
    return rows


def rounded(exact: Rows, seed: int, size: float = 0.005, scatter: float = 0.2) -> Rows:
    """Another floor run: errors whose size varies from position to position, as rounding's does."""
    rng, places = np.random.default_rng(seed), np.random.default_rng(99)
    found = []
    for one in exact:
        scale = size * np.exp(places.normal(0, 0.4, (len(one), 1)) + rng.normal(0, scatter, (len(one), 1)))
        found.append(one + scale * np.sqrt((one**2).mean(axis=1, keepdims=True)) * rng.normal(size=one.shape))
    return found


def measured(run: Rows, exact: Rows) -> Deviations:
    """Without traces on disk; a fifth of the prompts is a set."""
    columns: dict[str, Any] = deviations_of(
        rows_of(*(np.concatenate(side).astype(np.float32) for side in (run, exact)))
    )
    bounds = (0, *np.cumsum([len(one) for one in run]).tolist())
    sets = tuple("chinese" if place % 5 == 0 else "general" for place in range(len(run)))
    return Deviations(bounds, **columns, sets=sets)
