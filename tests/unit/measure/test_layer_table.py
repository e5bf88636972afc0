"""Layer by layer: norms, growth and what counts as an explosion."""

from pathlib import Path

import numpy as np
import pytest

from npu_conformance.errors import TraceError
from npu_conformance.measure.layer_table import LayerRow, layer_table
from npu_conformance.traces.layers import LAYERS, Layers, load_layers, save_layers
from npu_conformance.traces.trace import Trace, load_trace, save_trace

# As a report publishes them of a conversion that speaks nonsense, and as a trained Qwen3 twin has them.
NONSENSE = [1.45, 153.72, 600.0, 2399.63, 3166.8, 11301.76, 54710.95, 125.59]
HEALTHY = [1.07, 31.5, 45.2, 56.4, 68.9, 300.0, 900.0, 17.0]


def trace(folder: Path, states: np.ndarray) -> Trace:
    """A trace of nothing but hidden states [prompts, points, hidden]."""
    folder.mkdir()
    points = ("embedding", *(f"model.layers.{n}" for n in range(states.shape[1] - 2)), "final norm")
    save_layers(folder, Layers(points, states.astype(np.float32)))
    save_trace(folder, [], eos_token_ids=[], provenance={})
    return load_trace(folder)


def table(folder: Path, norms: list[float]) -> list[LayerRow]:
    """The rows of a candidate and a reference with these norms."""
    direction = np.ones(4) / 2
    states = np.stack([np.outer(norms, direction)] * 2)
    return layer_table(trace(folder / "c", states), trace(folder / "r", states * 1.0))


def test_the_published_explosion_is_told_and_a_trained_models_growth_is_not(tmp_path: Path) -> None:
    """A factor of 106 in the first layer, and what follows from it."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    found = [row.point for row in table(tmp_path / "a", NONSENSE) if row.explodes]

    assert found == ["model.layers.0", "model.layers.5"]
    assert not any(row.explodes for row in table(tmp_path / "b", HEALTHY))


def test_norms_growth_and_errors_are_what_they_say(tmp_path: Path) -> None:
    """Checked by hand; neither the embedding nor the final norm grows."""
    rows = table(tmp_path, HEALTHY)

    assert [row.growth is None for row in rows] == [True, *[False] * 6, True]
    assert rows[2].growth == pytest.approx(45.2 / 31.5)
    assert rows[2].candidate_norm == pytest.approx(45.2, rel=1e-6)
    assert all(row.cosine == pytest.approx(1) and row.relative_l2 == 0 and row.finite for row in rows)


def test_other_points_are_refused(tmp_path: Path) -> None:
    """Rows are never cut to fit."""
    states = np.ones((2, 5, 4))

    with pytest.raises(TraceError, match="not the same model"):
        layer_table(trace(tmp_path / "c", states), trace(tmp_path / "r", states[:, :4]))


def test_layers_of_older_traces_get_their_modules_names(tmp_path: Path) -> None:
    """Which counted from 1."""
    old = ("embedding", "layer 1", "layer 12", "final norm")
    save_layers(tmp_path, Layers(old, np.zeros((1, 4, 2), dtype=np.float32)))
    found = load_layers(tmp_path / LAYERS)

    assert found is not None
    assert found.points == ("embedding", "model.layers.0", "model.layers.11", "final norm")
