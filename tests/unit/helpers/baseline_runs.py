"""Baselines of made-up runs, and runs held against them."""

import dataclasses
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from npu_conformance.baselines.stored import Baseline, Change, as_reference
from npu_conformance.checks import CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.run.baseline import make_baseline
from npu_conformance.traces.rows import Rows
from tests.unit.helpers.scenes import Scene

FACTS = {"kind": "real", "weights_digest": "w", "reference_digest": "r", "adapter_digest": None}
CREATED = Change(date=datetime(2026, 11, 1, tzinfo=timezone.utc), action="create", reason="first", figures={})


def baseline_of(evidence: Evidence, **changes: Any) -> Baseline:
    """A baseline of a run."""
    figures = [*CHECKS["token_agreement"].judge(evidence), *CHECKS["logits_closeness"].judge(evidence)]
    told: dict[str, Any] = {"model": "Model", "platform": "cpu", "facts": FACTS, "change": CREATED, "before": None}
    return make_baseline(evidence, figures, **told | changes)


def held(scene: Scene, found: Baseline, *, baseline_only: bool = False) -> Evidence:
    """A run held against a baseline."""
    evidence = dataclasses.replace(scene.evidence(), baseline=found, baseline_only=baseline_only)
    if baseline_only:
        forced = dataclasses.replace(evidence.candidate, forced=True)
        reference = as_reference(found, Path("baseline.json"))
        evidence = dataclasses.replace(evidence, candidate=forced, reference=reference, noise=None)
    return evidence


def noisy(scale: float) -> Callable[[Rows], Rows]:
    """Rows with noise added."""
    rng = np.random.default_rng(3)
    return lambda rows: (rows + scale * rng.normal(size=rows.shape)).astype(np.float32)
