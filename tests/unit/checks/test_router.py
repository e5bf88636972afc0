"""Router ties among a model's evidence: from margins beside the reference and beside floor runs."""

from dataclasses import replace

import numpy as np
import pytest

from npu_conformance.checks.evidence import Evidence
from npu_conformance.errors import TraceError
from npu_conformance.traces.router import save_router
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
