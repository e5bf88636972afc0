"""The KV cache that an engine on a CPU is given: its size by hand, and who may say otherwise."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from npu_conformance.config.serve import Serve
from npu_conformance.config.variants import JUDGED, engine_options
from npu_conformance.errors import PlanError
from npu_conformance.run.kv_cache import bounded, given_bytes, needed_bytes, own_longest, space
from npu_conformance.run.room import refuse_what_has_no_room
from tests.unit.helpers.made_candidates import LENGTHS, QWEN, Processes, candidates

GIB, MIB = 2**30, 2**20
KIB = 2**10
BASE: dict[str, Any] = {"dtype": "bfloat16", "enable_prefix_caching": False, "max_model_len": 2048}
# Eight blocks of 128 tokens for a request of ten tokens less than 1024, and so on; without
# block-boundary prompts, which need 265.
SHORT = {**BASE, "max_model_len": 128}
# Of Qwen3.5-4B: three layers of four have a state.
HYBRID = {
    "num_hidden_layers": 32,
    "full_attention_interval": 4,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_conv_kernel_dim": 4,
    "max_position_embeddings": 262_144,
}


@pytest.fixture(autouse=True)
def quiet_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing said in the shell."""
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)


def test_all_requests_at_once() -> None:
    """Ten requests of 68 tokens take a block each, of 28 layers x 2 x 8 heads x 128 x 2 bytes x 128 tokens."""
    block = 28 * 2 * 8 * 128 * 2 * 128
    assert block == 14 * MIB
    assert needed_bytes(QWEN, SHORT, LENGTHS) == (10 + 1) * block
    # Two longer ones: 130 + 48 tokens are two blocks. Probes of 135 to 137 tokens are two, of 263 to 265 three.
    longer = [*LENGTHS, (130, 48), (130, 48)]
    assert needed_bytes(QWEN, {**BASE, "max_model_len": 512}, longer) == (10 + 4 + 3 * 2 + 3 * 3 + 1) * block


def test_a_batch_is_no_larger_than_max_num_seqs_unless_prefixes_are_kept() -> None:
    """What waits needs no cache; what is to be hit again does."""
    block = 14 * MIB
    # The largest four: the block-boundary prompts at the second edge, and one at the first.
    few = {**BASE, "max_model_len": 512, "max_num_seqs": 4}
    assert needed_bytes(QWEN, few, LENGTHS) == (8 * 3 + 1) * block  # eight copies of the longest
    assert needed_bytes(QWEN, {**few, "enable_prefix_caching": True}, LENGTHS) == (10 + 6 + 9 + 1) * block


def test_a_dtype_of_another_name_is_not_guessed() -> None:
    """VLLM takes `half` too."""
    assert needed_bytes(QWEN, {**SHORT, "dtype": "half"}, LENGTHS) == 4 * GIB


def test_one_request_of_the_greatest_length_fits() -> None:
    """Or vLLM does not start: 2,048 tokens are 16 blocks, 40,960 are 320."""
    alone = ((20, 48),)
    assert needed_bytes(QWEN, {**BASE, "max_model_len": 4096}, alone) == (32 + 1) * 14 * MIB
    unnamed = {name: value for name, value in BASE.items() if name != "max_model_len"}
    assert needed_bytes(QWEN, unnamed, alone) == (320 + 1) * 14 * MIB
    assert space(QWEN, unnamed, alone) == 5  # 4.4 GiB
    assert space(QWEN, BASE, alone) == 1


def test_long_texts_fit_where_the_engine_takes_them() -> None:
    """1,300 and 4,400 tokens are 11 and 35 blocks."""
    assert needed_bytes(QWEN, {**BASE, "max_model_len": 4400}, ((20, 48),)) == (11 + 35 + 1) * 14 * MIB


def test_shards_and_wide_numbers() -> None:
    """A rank has its part of the heads, and one at least; float32 has twice the bytes; without heads for keys, all."""
    whole = needed_bytes(QWEN, SHORT, LENGTHS)
    assert needed_bytes(QWEN, {**SHORT, "tensor_parallel_size": 2}, LENGTHS) == whole // 2
    assert needed_bytes(QWEN, {**SHORT, "tensor_parallel_size": 16}, LENGTHS) == whole // 8
    assert needed_bytes(QWEN, {**SHORT, "dtype": "float32"}, LENGTHS) == whole * 2
    assert needed_bytes({**QWEN, "num_key_value_heads": None}, SHORT, LENGTHS) == whole * 2
    derived = {name: value for name, value in QWEN.items() if name != "head_dim"} | {"hidden_size": 1024}
    assert needed_bytes(derived, SHORT, LENGTHS) == whole // 2


def test_latent_attention_keeps_one_vector() -> None:
    """Of 512 + 64 numbers a token, for all heads, on every rank."""
    latent = {**QWEN, "kv_lora_rank": 512, "qk_rope_head_dim": 64}
    for ranks in (1, 4):
        sharded = {**SHORT, "tensor_parallel_size": ranks}
        assert needed_bytes(latent, sharded, LENGTHS) == 11 * 28 * 128 * 2 * 576


def test_states_of_linear_attention() -> None:
    """A state has 32 x 128 x 128 x 4 bytes, and 3 inputs of 8,192 numbers: 2,146,304; a token of attention 4,096.

    So a block has 640 tokens, which are 2,621,440 bytes, and a state takes as much. Eight layers are a group: one of
    attention, three with states.
    """
    page = 640 * 4096
    assert page == 2_621_440 >= 2_146_304 > 512 * 4096
    options = {**BASE, "max_model_len": 512}
    # Each request: one block of attention, three states. No block-boundary prompts: they would be longer than 512.
    assert needed_bytes(HYBRID, options, LENGTHS) == (10 * 4 + 1) * 8 * page
    # Where prefixes are kept, states at the edges of blocks are kept too.
    kept = {**options, "enable_prefix_caching": True}
    assert needed_bytes(HYBRID, kept, LENGTHS) == (10 * (1 + 3 * 2) + 1) * 8 * page
    listed = {**HYBRID, "layer_types": ["linear_attention"] * 24 + ["full_attention"] * 8}
    del listed["full_attention_interval"]
    assert needed_bytes(listed, options, LENGTHS) == needed_bytes(HYBRID, options, LENGTHS)


def test_a_config_that_does_not_say_gets_four_gib() -> None:
    """Rather than a share of the machine."""
    assert space({"n_layer": 12}, BASE, LENGTHS) == 4
    assert bounded({"n_layer": 12}, {}, {}, LENGTHS, long=False) == {}


@pytest.mark.parametrize(
    ("options", "envs", "given"),
    [
        ({"kv_cache_memory_bytes": 12345}, {}, 12345),
        ({"gpu_memory_utilization": 0.3}, {}, GIB),
        ({}, {"VLLM_CPU_KVCACHE_SPACE": "9"}, 9 * GIB),
        ({"gpu_memory_utilization": 0.3}, {"VLLM_CPU_KVCACHE_SPACE": "9"}, 9 * GIB),
        ({}, {}, GIB),
    ],
)
def test_the_yaml_wins(tmp_path: Path, options: dict[str, Any], envs: dict[str, str], given: float | None) -> None:
    """What it says of the KV cache is what the engine gets, and what is counted; a share of an accelerator is not."""
    serve = {"max_model_len": 2048, **options}
    if "kv_cache_memory_bytes" in options:
        serve = {"max_model_len": 2048, "engine_args": options}
    made = candidates(tmp_path, Processes(), {"serve": serve, "envs": envs})
    environment = made.environment(made.job("base").options)

    asked = "1" if given == GIB else envs.get("VLLM_CPU_KVCACHE_SPACE")
    assert environment.get("VLLM_CPU_KVCACHE_SPACE") == asked
    assert given_bytes(QWEN, {**BASE, **options}, LENGTHS, envs) == given


def test_blocks_of_the_yaml_are_what_is_asked_for(tmp_path: Path) -> None:
    """200 blocks of 14 MiB are 2.7 GiB: vLLM takes the blocks, and would want its share of the machine besides."""
    serve = {"max_model_len": 2048, "engine_args": {"num_gpu_blocks_override": 200}}
    made = candidates(tmp_path, Processes(), {"serve": serve})

    assert made.environment(made.job("base").options)["VLLM_CPU_KVCACHE_SPACE"] == "3"


def test_the_shell_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reaches the engine as it is; the YAML's own comes before it."""
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "7")
    assert "VLLM_CPU_KVCACHE_SPACE" not in candidates(tmp_path, Processes()).environment(BASE)
    assert given_bytes(QWEN, BASE, LENGTHS, {}) == 7 * GIB
    assert given_bytes(QWEN, BASE, LENGTHS, {"VLLM_CPU_KVCACHE_SPACE": "2"}) == 2 * GIB


def test_engines_of_one_process_get_what_the_largest_needs(tmp_path: Path) -> None:
    """`as_served` names no longest request, so vLLM wants 40,960 tokens; alone base needs far less."""
    processes = Processes()
    made = candidates(tmp_path, processes)
    assert made.environment(made.job("base").options)["VLLM_CPU_KVCACHE_SPACE"] == "1"
    made.make("base", ("as_served", "fresh_engine"))

    assert processes.ran == [["base", "as_served"], ["fresh_engine"]]
    assert [one["VLLM_CPU_KVCACHE_SPACE"] for one in processes.environments] == ["5", "1"]


def test_without_a_longest_request_engines_get_one_that_holds_what_is_asked(tmp_path: Path) -> None:
    """Probes of 265 tokens, or long texts of 4,400, in whole blocks; `as_served` is left to vLLM."""
    made = candidates(tmp_path, Processes(), {"variants": ["graph", "long_prompt", "spec_decode"]})
    every = ("base", "as_served", "graph", "long_prompt", "spec_decode")
    longest = {variant: made.job(variant).options.get("max_model_len") for variant in every}

    assert longest == {"base": 384, "as_served": None, "graph": 384, "long_prompt": 4480, "spec_decode": 384}
    named = candidates(tmp_path, Processes(), {"serve": {"max_model_len": 100}})
    assert named.job("base").options["max_model_len"] == 100
    elsewhere = candidates(tmp_path, Processes(), device="npu")
    assert "max_model_len" not in elsewhere.job("base").options


def test_a_bound_is_no_more_than_the_model_can() -> None:
    """Nor is there one without requests."""
    assert bounded({**QWEN, "max_position_embeddings": 300}, {}, {}, LENGTHS, long=True) == {"max_model_len": 300}
    assert bounded(QWEN, {}, {}, (), long=False) == {}
    # Whoever has smaller blocks takes base's requests all the same.
    assert bounded(QWEN, {"block_size": 16}, {}, LENGTHS, long=False) == {"max_model_len": 384}
    assert bounded(QWEN, {}, {"block_size": 256}, LENGTHS, long=False) == {"max_model_len": 640}
    # A hybrid's blocks have 640 tokens, so block-boundary prompts reach 1,289.
    assert bounded(HYBRID, {}, {}, LENGTHS, long=False) == {"max_model_len": 1408}


@pytest.mark.parametrize(
    ("rope", "expected"),
    [
        ({}, 40_960),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}, 131_072),
        ({"type": "linear", "factor": 2.0}, 81_920),
        ({"rope_type": "longrope", "factor": 32.0}, 40_960),
    ],
)
def test_the_longest_request_is_what_vllm_takes_for_it(rope: dict[str, Any], expected: int) -> None:
    """Scaling makes it longer, but for the kinds that have it in config.json already."""
    assert own_longest({**QWEN, "rope_scaling": rope}) == expected
    assert own_longest({**QWEN, "rope_parameters": {"rope_theta": 1e6}, "rope_scaling": rope}) == expected
    assert own_longest({}) is None


def test_an_engine_without_room_is_refused_before_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the figure and the key; the others run. 262,144 tokens are 28 GiB, and base needs no such cache."""
    monkeypatch.setattr("npu_conformance.run.room.free_memory", lambda: 20 * GIB)
    processes = Processes()
    made = candidates(tmp_path, processes, model={**QWEN, "max_position_embeddings": 262_144})
    made.make("base", ("as_served",))
    with pytest.raises(PlanError) as refused:
        made.make("as_served", ())

    assert processes.ran == [["base"]]
    assert str(refused.value) == (
        "Model as_served: the engine needs 30.7 GiB of memory (0.0 of weights, 29.0 of KV cache with room for a "
        "request of 262,144 tokens), 20.0 GiB are free here: name a smaller serve.max_model_len in the YAML, or use a "
        "larger machine"
    )


def test_what_does_not_fit_though_it_is_bounded_is_refused_in_other_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """8 GB of weights, 1 GiB of cache and the process itself; a share of the machine is left to vLLM."""
    monkeypatch.setattr("npu_conformance.run.room.free_memory", lambda: 10 * GIB)
    told: Any = (QWEN, 8 * GIB, BASE, LENGTHS, {})
    with pytest.raises(PlanError, match=r"needs 10\.7 GiB .* \(8\.0 of weights, 1\.0 of KV cache.*ask fewer prompts"):
        refuse_what_has_no_room("Model base", *told)
    with pytest.raises(PlanError, match=r"needs 13\.4 GiB"):
        refuse_what_has_no_room("M tp2", QWEN, 8 * GIB, {**BASE, "tensor_parallel_size": 2}, LENGTHS, {})
    refuse_what_has_no_room("Model base", QWEN, 7 * GIB, BASE, LENGTHS, {})
    refuse_what_has_no_room("M", QWEN, 8 * GIB, BASE, LENGTHS, {"VLLM_CPU_KVCACHE_SPACE": "auto"})


ODD: st.SearchStrategy[Any] = st.sampled_from([None, "", "8", True, -1, 0, 1, 7, 1.5, 2**62, [], {}, [1], {"a": 1}])


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted({*Serve.model_fields} - {"engine_args"})), ODD, max_size=3),
    st.dictionaries(
        st.sampled_from(
            [
                "kv_cache_memory_bytes",
                "block_size",
                "num_gpu_blocks_override",
                "pipeline_parallel_size",
                "cpu_offload_gb",
            ]
        ),
        ODD,
        max_size=3,
    ),
    st.sampled_from(["", "0", "8", "x", "²", "-1", "9" * 400]),
)
def test_what_a_config_may_say_can_be_reckoned_with(serving: Any, engine_args: Any, told: str) -> None:
    """A size that could not is refused where the YAML is read."""
    try:
        serve = Serve.model_validate({**serving, "engine_args": engine_args})
    except ValidationError:
        return
    base, served = (engine_options(serve, variant) for variant in JUDGED)
    for options in (base, served):
        bytes_given = given_bytes(QWEN, options, LENGTHS, {"VLLM_CPU_KVCACHE_SPACE": told})
        assert bytes_given is None or 0 <= bytes_given < 2**70
        assert space(QWEN, options, LENGTHS) >= 1
        assert bounded(QWEN, options, base, LENGTHS, long=True).get("max_model_len", 1) >= 1
