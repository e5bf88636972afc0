"""Router ties among a model's evidence: from margins beside the reference and beside floor runs."""

from dataclasses import replace

import numpy as np
import pytest

from npu_conformance.checks import CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.config.model import Limit
from npu_conformance.errors import TraceError
from npu_conformance.measure.results import Result
from npu_conformance.traces.router import save_router
from npu_conformance.traces.rows import Rows
from tests.unit.helpers.scenes import Scene

TIED = 5
"""Among the judged positions."""


def routed(scene: Scene) -> Evidence:
    """The made-up run as of a mixture whose margins are 1, with one that is small."""
    evidence = scene.evidence()
    lengths = [len(answer.token_ids) for answer in evidence.reference.answers]
    margins = np.ones((sum(lengths), 2), dtype=np.float32)
    margins[TIED, 1] = 0.01
    save_router(evidence.reference.folder, margins)
    assert evidence.noise is not None
    judged = np.concatenate(
        [np.arange(lengths[at])[: evidence.reference.judged(at)] + sum(lengths[:at]) for at in range(len(lengths))]
    )
    runs = {name: replace(run, router=margins[judged] + np.float32(0.02)) for name, run in evidence.noise.runs.items()}
    return replace(evidence, noise=replace(evidence.noise, runs=runs))


def test_a_small_margin_is_a_tie(scene: Scene) -> None:
    """And the floor is that of a mixture."""
    evidence = routed(scene)

    assert evidence.router_ties is not None
    assert np.flatnonzero(evidence.router_ties).tolist() == [TIED]
    assert len(evidence.router_ties) == len(evidence.comparison)
    assert all(run.routed for run in evidence.floor.values())


def test_a_dense_model_has_none(scene: Scene) -> None:
    """Its floor has one mode."""
    evidence = scene.evidence()

    assert evidence.router_ties is None
    assert not any(run.routed for run in evidence.floor.values())


def test_an_engine_that_says_so_serves_a_mixture(scene: Scene) -> None:
    """Also where the reference's routers do not tell their margins."""
    evidence = scene.evidence()
    told = evidence.candidate.provenance | {"observed": {"experts": 8}}

    assert replace(evidence, candidate=replace(evidence.candidate, provenance=told)).routed


def test_margins_of_other_positions_are_refused(scene: Scene) -> None:
    """By the file's name."""
    evidence = routed(scene)
    save_router(evidence.reference.folder, np.ones((3, 2), dtype=np.float32))

    with pytest.raises(TraceError, match=r"router\.npy: is float32 of shape \(3, 2\), expected float32 with"):
        _ = evidence.router_ties


def one_row_scaled(rows: Rows) -> Rows:
    """As one that was sent to another expert."""
    rows[50] *= np.float32(1.5)
    return rows


def worst_of(evidence: Evidence) -> Result:
    """The largest relative error of a position."""
    return next(one for one in CHECKS["logits_closeness"].judge(evidence) if one.metric == "relative_l2_max")


def test_the_worst_position_of_a_mixture_is_judged_by_gates(scene: Scene) -> None:
    """Its own limit is shown; that of a dense model is judged."""
    scene.edit_logits("candidate", 1, one_row_scaled)
    dense, mixture = worst_of(scene.evidence()), worst_of(routed(scene))

    assert dense.verdict == "fail"
    assert mixture.verdict == "shown"
    assert "another expert" in (mixture.message or "")
    assert CHECKS["worst_positions"].judge(routed(scene))[0].verdict == "fail"
    own = CHECKS["decode_against_prefill"].judge(routed(scene))
    assert next(one for one in own if one.metric == "relative_l2_max").verdict == "fail", "no gate judges this pair"


def test_a_limit_that_a_mixtures_config_gives_is_judged(scene: Scene) -> None:
    """Someone said what a position may be off by."""
    scene.edit_logits("candidate", 1, one_row_scaled)
    evidence = routed(scene)
    own = evidence.config.model_copy(
        update={"limits": {"relative_l2_max": Limit(value=0.2, reason="experts are exchanged")}}
    )

    assert worst_of(replace(evidence, config=own)).verdict == "fail"
