"""Rotary parameters in both spellings of config.json."""

import pytest

from npu_conformance.checkpoints.rotary import in_both_spellings, older_rotary

LONG = {"rope_type": "longrope", "rope_theta": 10_000.0, "short_factor": [1.0], "long_factor": [4.0]}


def test_a_config_of_transformers_5_gets_the_older_keys() -> None:
    """Without them transformers 4 takes a base of 10,000 and says nothing."""
    config = {"hidden_size": 8, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}
    assert in_both_spellings(config) == config | {"rope_theta": 1e6}


def test_scaling_is_kept() -> None:
    """Without `rope_scaling` transformers 4 drops LongRoPE."""
    found = in_both_spellings({"rope_parameters": LONG})
    assert found["rope_theta"] == 10_000.0
    assert found["rope_scaling"] == {name: value for name, value in LONG.items() if name != "rope_theta"}


@pytest.mark.parametrize("kind", ["type", "rope_type"])
def test_a_config_of_transformers_4_gets_the_newer_key(kind: str) -> None:
    """Under either of the names that the kind has had."""
    found = in_both_spellings({"rope_theta": 5e5, "rope_scaling": {kind: "linear", "factor": 2.0}})
    assert found["rope_parameters"] == {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}


def test_what_a_config_says_in_both_is_left_as_it_is() -> None:
    """Nobody decides here which of two that differ is right."""
    config = {"rope_theta": 1e4, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}
    assert in_both_spellings(config) == config
    assert older_rotary(config["rope_parameters"]) == {"rope_theta": 1e6}  # type: ignore[arg-type]


def test_a_model_without_rotary_parameters_gets_none() -> None:
    """Such as one with learnt positions."""
    assert in_both_spellings({"hidden_size": 8}) == {"hidden_size": 8}
