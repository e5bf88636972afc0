"""Hidden states: the first layer that leaves is named, by direction or by norm."""

import numpy as np

from npu_conformance.checks import CHECKS
from npu_conformance.measure.module_errors import MODULE_ERRORS
from tests.unit.helpers.scenes import Scene, turned_from_layer_2


def test_the_first_layer_that_leaves_is_named(scene: Scene) -> None:
    """Not the worst one, which may be its consequence."""
    scene.edit_layers(turned_from_layer_2)
    _, cosine, norm = CHECKS["hidden_states"].judge(scene.evidence())

    assert (cosine.verdict, norm.verdict) == ("fail", "pass")
    assert (cosine.where or "").startswith("first beyond at model.layers.1: ")


def test_a_layer_that_only_scales_is_named_by_its_norm(scene: Scene) -> None:
    """By one percent, which no cosine sees; the layers after it are its consequence."""
    scene.edit_layers(lambda states: np.asarray(states * np.array([1, 1, 1.01, 1.02], dtype=np.float32)[:, None]))
    _, cosine, norm = CHECKS["hidden_states"].judge(scene.evidence())

    assert (cosine.verdict, norm.verdict) == ("pass", "fail")
    assert (norm.where or "").startswith("first beyond at model.layers.1: ")


def test_hidden_states_of_nothing_fail(scene: Scene) -> None:
    """All zero is finite, and its cosine is no number."""
    scene.edit_layers(lambda states: np.asarray(states * np.array([1, 1, 1, 0], dtype=np.float32)[:, None]))

    assert scene.verdicts()["hidden_states"] == "fail"


def test_an_explosion_is_told_and_does_not_fail(scene: Scene) -> None:
    """Both sides may have it: then it is the model's."""
    for side in ("candidate", "reference"):
        scene.edit_layers(lambda states: np.asarray(states * np.array([1, 1, 100, 1], dtype=np.float32)[:, None]), side)
    _, cosine, norm = CHECKS["hidden_states"].judge(scene.evidence())

    assert cosine.verdict == norm.verdict == "pass"
    assert "the norm explodes at model.layers.1" in (cosine.message or "")


def test_the_first_attention_or_mlp_beyond_its_floor_is_named(scene: Scene) -> None:
    """Also where a later one is further off."""
    scene.edit_module_errors(1, 8.0)
    scene.edit_module_errors(2, 20.0)
    (found,) = CHECKS["layers_over_floor"].judge(scene.evidence())

    assert found.verdict == "fail"
    assert (found.where or "").startswith("first beyond at model.layers.0.mlp: ")


def test_attentions_and_mlps_that_were_not_seen_are_not_judged(scene: Scene) -> None:
    """As of an engine whose model does not run from Python."""
    (scene.folder / MODULE_ERRORS).unlink()
    (found,) = CHECKS["layers_over_floor"].judge(scene.evidence())

    assert found.verdict == "not_applicable"
    assert "could not be seen" in (found.message or "")
