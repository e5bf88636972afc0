"""The catalogue, the options that variants make, and how a run shows that it was one of base."""

from typing import Any

import pytest

from npu_conformance.config.serve import Serve
from npu_conformance.config.variants import (
    CATALOGUE,
    JUDGED,
    Sign,
    engine_options,
    merged,
    no_effect,
    ranks,
    served_features,
)

PLAIN = {
    "enforce_eager": True,
    "enable_prefix_caching": False,
    "enable_chunked_prefill": False,
    "async_scheduling": False,
}


@pytest.mark.parametrize("variant", CATALOGUE)
def test_a_variant_changes_one_thing_of_base(variant: str) -> None:
    """Or what broke it would not be known."""
    serve = Serve(tensor_parallel_size=8, max_num_seqs=4, additional_config={"kept": 1, "weight_nz_mode": 1})
    options = CATALOGUE[variant].options
    base, changed = engine_options(serve, "base"), engine_options(serve, variant, options)

    assert {key for key in changed if changed[key] != base.get(key)} == set(options)
    assert base.keys() <= changed.keys()
    for key, value in options.items():
        assert changed[key] == (value if key != "additional_config" else {**base[key], **value})


def test_the_variants_that_change_no_option_change_something_else() -> None:
    """Another start, a server, or other texts."""
    unchanged = {name for name, known in CATALOGUE.items() if not known.options and not known.envs}

    assert unchanged == {"fresh_engine", "serving", "long_prompt"}
    assert CATALOGUE["fresh_engine"].bitwise
    assert CATALOGUE["long_prompt"].long
    assert CATALOGUE["serving"].served


@pytest.mark.parametrize(
    ("variant", "needed"),
    [("tp2", 2), ("tp4", 4), ("pp2", 2), ("ep", 2), ("graph", 1), ("dp2", 1), ("pcp2", 2), ("dcp2", 1)],
)
def test_devices_of_a_variant(variant: str, needed: int) -> None:
    """Of a model that is served on one; stages and shards multiply."""
    assert ranks(engine_options(Serve(), variant, CATALOGUE[variant].options)) == needed
    assert ranks({"tensor_parallel_size": 4, "pipeline_parallel_size": 2}) == 8
    assert ranks({"tensor_parallel_size": 2, "prefill_context_parallel_size": 3}) == 6
    assert ranks({"tensor_parallel_size": 4, "decode_context_parallel_size": 4}) == 4
    assert ranks({}) == 1


def test_variants_that_only_ascend_has() -> None:
    """Every one with options or variables of the plugin, or a graph mode of its own."""
    own = {
        name
        for name, known in CATALOGUE.items()
        if known.envs or known.options.keys() & {"additional_config", "compilation_config"}
    }

    assert {name for name, known in CATALOGUE.items() if known.platform == "npu"} == own | {"dcp2"}
    assert {known.platform for known in CATALOGUE.values()} == {"npu", None}


@pytest.mark.parametrize(
    ("variant", "sign"),
    [
        ("prefix_caching", "cached_tokens"),
        ("chunked_prefill", "prefills_of_a_prompt"),
        ("preemption", "preemptions"),
        ("graph", "graph"),
        ("fusions_off", "graph"),
        ("ep", "experts"),
        ("lora", "lora_layers"),
        ("spec_decode", "drafts"),
    ],
)
def test_a_feature_that_may_stay_silent_needs_a_sign(variant: str, sign: Sign) -> None:
    """Without it the run would be base's, and pass."""
    assert CATALOGUE[variant].needs == sign


SERVED: list[dict[str, Any]] = [
    {},
    {"enforce_eager": True, "enable_prefix_caching": False, "enable_chunked_prefill": False, "async_scheduling": False},
    {"enforce_eager": False, "max_num_batched_tokens": 512, "compilation_config": {"cudagraph_mode": "FULL"}},
    {"tensor_parallel_size": 4, "additional_config": {"weight_nz_mode": 1}, "engine_args": {"seed": 7}},
]


@pytest.mark.parametrize("content", SERVED)
def test_base_and_as_served(content: dict[str, Any]) -> None:
    """Base has every feature off, and neither a smaller step nor compilation; as_served is the YAML's own."""
    serve = Serve.model_validate(content)
    base, served = (engine_options(serve, variant) for variant in JUDGED)

    own = {key: value for key, value in content.items() if key != "engine_args"}
    expected = {"dtype": "bfloat16", "tensor_parallel_size": 1, **own, **content.get("engine_args", {})}
    assert served == expected
    left_out = ("max_num_batched_tokens", "compilation_config")
    assert base == {key: value for key, value in expected.items() if key not in left_out} | PLAIN


@pytest.mark.parametrize("content", SERVED)
def test_what_is_served_is_base_with_all_its_features(content: dict[str, Any]) -> None:
    """Each a variant of one option, which is not base's."""
    serve = Serve.model_validate(content)
    base, options = engine_options(serve, "base"), engine_options(serve, "base")
    for name, feature in served_features(serve).items():
        assert list(feature) == [name]
        assert merged(base, feature) != base
        options = merged(options, feature)

    assert options == engine_options(serve, "as_served")


def test_features_of_what_is_served() -> None:
    """In order of their names; None where the YAML leaves it to vLLM."""
    features = served_features(Serve(enforce_eager=False, async_scheduling=False, max_num_batched_tokens=512))

    assert list(features.items()) == [
        ("enable_chunked_prefill", {"enable_chunked_prefill": None}),
        ("enable_prefix_caching", {"enable_prefix_caching": None}),
        ("enforce_eager", {"enforce_eager": False}),
        ("max_num_batched_tokens", {"max_num_batched_tokens": 512}),
    ]
    assert served_features(Serve.model_validate(PLAIN)) == {}


@pytest.mark.parametrize(
    ("options", "changed", "expected"),
    [
        ({"a": 1, "b": 2}, {"b": 3, "c": 4}, {"a": 1, "b": 3, "c": 4}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 3, "z": 4}}, {"a": {"x": 1, "y": 3, "z": 4}}),
        ({"a": 1, "b": 2}, {"b": None}, {"a": 1}),
        ({"a": {"x": 1}}, {"a": None}, {}),
        ({"a": {"x": 1}}, {"a": 3}, {"a": 3}),
        ({"a": 3}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": None, "b": 0}, {}, {"b": 0}),
        pytest.param(
            {"a": {"x": {"m": 1}}},
            {"a": {"x": {"n": 2}}},
            {"a": {"x": {"m": 1, "n": 2}}},
        ),
    ],
)
def test_options_on_top_of_others(options: dict[str, Any], changed: dict[str, Any], expected: dict[str, Any]) -> None:
    """Mappings entry by entry, and nothing that is None; what was given stays as it was."""
    given = {key: dict(value) if isinstance(value, dict) else value for key, value in options.items()}

    assert merged(options, changed) == expected
    assert options == given


EFFECTIVE = {
    "enforce_eager": True,
    "cudagraph_mode": "NONE",
    "tensor_parallel_size": 2,
    "additional_config": {"weight_nz_mode": 2, "nested": {"on": False, "other": 1}},
}


@pytest.mark.parametrize(
    ("options", "needs", "observed", "expected"),
    [
        ({"tensor_parallel_size": 2, "not_known": 3}, None, {}, None),
        ({"enforce_eager": False}, None, {}, "asked for enforce_eager False, the engine ran with True"),
        (
            {"compilation_config": {"cudagraph_mode": "FULL"}},
            None,
            {},
            "asked for cudagraph_mode 'FULL', the engine ran with 'NONE'",
        ),
        ({"compilation_config": {"cudagraph_mode": "none", "level": 3}}, None, {}, None),
        ({"additional_config": {"weight_nz_mode": 2, "nested": {"on": False}}}, None, {}, None),
        (
            {"additional_config": {"nested": {"on": True}}},
            None,
            {},
            "asked for additional_config {'nested': {'on': True}}, the engine ran with "
            f"{EFFECTIVE['additional_config']!r}",
        ),
        (
            {"additional_config": {"weight_nz_mode": 2, "not_there": 0}},
            None,
            {},
            "asked for additional_config {'weight_nz_mode': 2, 'not_there': 0}, the engine ran with "
            + repr(EFFECTIVE["additional_config"]),
        ),
        ({"tensor_parallel_size": 4}, "graph", {"graph": 1}, "asked for tensor_parallel_size 4, the engine ran with 2"),
        ({}, "cached_tokens", {"cached_tokens": 0}, "cached tokens: 0 in this run, at least 1 show the feature"),
        ({}, "cached_tokens", {"preemptions": 3}, "cached tokens: 0 in this run, at least 1 show the feature"),
        ({}, "cached_tokens", {"cached_tokens": 1}, None),
        (
            {},
            "prefills_of_a_prompt",
            {"prefills_of_a_prompt": 1},
            "prefills of a prompt: 1 in this run, at least 2 show the feature",
        ),
        ({}, "prefills_of_a_prompt", {"prefills_of_a_prompt": 2}, None),
    ],
)
def test_a_run_without_effect(
    options: dict[str, Any], needs: Sign | None, observed: dict[str, int], expected: str | None
) -> None:
    """An option the engine did not follow, or a sign it did not show; what it does not tell is believed."""
    assert (
        no_effect(options, () if needs is None else (needs,), {"effective": EFFECTIVE, "observed": observed})
        == expected
    )


def test_a_trace_that_tells_nothing_shows_no_sign() -> None:
    """As one of an older version."""
    assert no_effect({"enforce_eager": False}, (), {}) is None
    assert no_effect({}, ("graph",), {}) == "graph: 0 in this run, at least 1 show the feature"


@pytest.mark.parametrize(
    "options",
    [
        {"compilation_config": None},
        {"compilation_config": 3},
        {"enforce_eager": None},
    ],
)
def test_what_is_left_to_vllm_has_its_effect(options: dict[str, Any]) -> None:
    """Whatever the engine makes of a level, or of no value at all."""
    assert no_effect(options, (), {"effective": EFFECTIVE}) is None
