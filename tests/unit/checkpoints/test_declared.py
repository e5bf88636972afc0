"""What a checkpoint's small files say: a second reading of them."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from npu_conformance.checkpoints.declared import declarations
from npu_conformance.checkpoints.rope import UnknownRopeError, declared_ropes
from npu_conformance.engines.rendering import eos_token_ids
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.small_configs import LONG, MODEL, TYPES, folder_of


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "rope type 'dynamic'"),
        ({"rope_parameters": {"rope_theta": 10_000.0}}, "rope_parameters has rope_theta 10000.0, the older spelling"),
        ({"rope_theta": None}, "names no rope_theta"),
        ({"rope_scaling": {**LONG, "short_factor": [1.0]}}, "LongRoPE with 1 factors for 32 pairs"),
        ({"rope_scaling": {"rope_type": "llama3"}}, "rope type 'llama3' with KeyError"),
        ({"rope_scaling": "yarn"}, "rope_scaling 'yarn'"),
        ({"rope_parameters": [1]}, r"rope_parameters [1]"),
        ({"rope_theta": "x"}, "with ValueError"),
        ({"rope_theta": -1.0}, "with FloatingPointError"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 0}}, "rope type 'linear' with"),
        ({"rotary_dim": 32, "partial_rotary_factor": 1.0}, "rotary_dim 32, and a partial_rotary_factor that makes 64"),
        ({"mla_use_nope": True}, "it has no rotary embedding"),
        ({"position_embedding_type": "nope"}, "it has no rotary embedding"),
        ({"model_type": "gemma3_text"}, "no head_dim, so its class's own default counts"),
        ({"layer_types": ["a"], "rope_theta": None, "rope_parameters": {"b": {"rope_theta": 1.0}}}, "for none of its"),
    ],
)
def test_what_is_not_recognised_is_not_guessed(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    """It is said, and the rest is judged."""
    with pytest.raises(UnknownRopeError, match=re.escape(words)):
        declared_ropes({**MODEL, **changes})
    found = declarations(tmp_path, {**MODEL, **changes})
    for fact in ("rotary frequencies", "rotary scale", "rope type"):
        assert words in found.unknown[fact]
    assert found.facts["KV heads"].values == (2,)


@pytest.mark.parametrize(
    ("changes", "fact", "words"),
    [
        ({"hidden_size": "256"}, "head size", "TypeError"),
        ({"sliding_window": "x"}, "sliding window", "TypeError"),
        ({"sliding_window": 8192}, "sliding window", "no shorter than the longest request"),
        ({"num_key_value_heads": None}, "KV heads", "does not say"),
        ({"num_key_value_heads": None, "multi_query_group_num": 2}, "KV heads", "does not say"),
        ({"head_dim": 192, "v_head_dim": 128}, "attention heads", "v_head_dim: its heads are not all alike"),
        ({"attention_other_setting": {"num_attention_heads": 8}}, "KV heads", "its heads are not all alike"),
        ({"num_key_value_heads": None, "num_attention_groups": 2}, "KV heads", "does not say"),
        ({"model_type": "gemma3_text"}, "head size", "does not say"),
        ({"rope_scaling": {**TYPES["yarn"], "mscale": 2.0}}, "rotary scale", "libraries scale it differently"),
    ],
)
def test_an_odd_value_is_told_and_the_rest_is_judged(
    tmp_path: Path, changes: dict[str, Any], fact: str, words: str
) -> None:
    """No other fact is lost by it."""
    found = declarations(tmp_path, {**MODEL, **changes, "tie_word_embeddings": False})

    assert words in found.unknown[fact]
    assert found.facts["tied embeddings"].values == (False,)


@pytest.mark.parametrize(
    ("config", "generation", "ids", "source"),
    [
        (
            {"eos_token_id": 2, "model_type": "qwen3"},
            None,
            (2, 9),
            "config.json: eos_token_id [2]; tokenizer_config.json: eos_token",
        ),
        ({"eos_token_id": 2}, {"eos_token_id": [5, 7]}, (5, 7, 9), "generation_config.json: eos_token_id [5, 7]; "),
        ({"eos_token_id": 2}, {}, (9,), "generation_config.json: eos_token_id []; "),
        (
            {"text_config": {"eos_token_id": [3]}, "model_type": "mistral3"},
            None,
            (3, 9),
            "config.json: eos_token_id [3]; ",
        ),
    ],
)
def test_stop_tokens_are_those_that_an_engine_takes(
    tmp_path: Path, config: dict[str, Any], generation: dict[str, Any] | None, ids: tuple[int, ...], source: str
) -> None:
    """By the second reading, and by what the run goes by."""
    files = {} if generation is None else {"generation_config": generation}
    words = {"added_tokens": [{"id": 9, "content": "<end>"}], "model": {}}
    folder = folder_of(tmp_path / "m", config, tokenizer=words, tokenizer_config={"eos_token": "<end>"}, **files)
    found = declarations(folder, config).facts["end-of-text ids"]

    assert found.values == (ids,)
    assert found.source.startswith(source)
    assert eos_token_ids(folder, SimpleNamespace(eos_token_id=9), False) == list(ids)


def test_stop_tokens_that_are_none_are_refused(tmp_path: Path) -> None:
    """With file and key."""
    folder = folder_of(tmp_path / "m", {}, generation_config={"eos_token_id": [[1]]})
    for read in (
        lambda: declarations(folder, {}),
        lambda: eos_token_ids(folder, SimpleNamespace(eos_token_id=9), False),
    ):
        with pytest.raises(CheckpointError, match=r"eos_token_id is \[\[1\]\], expected a token id or a list of them"):
            read()


def test_stop_tokens_that_no_file_lists_are_not_judged(tmp_path: Path) -> None:
    """The model's class has some: Llama's is 2."""
    folder = folder_of(tmp_path / "m", {"model_type": "llama"}, tokenizer={}, tokenizer_config={})

    assert "config.json does not say" in declarations(folder, {}).unknown["end-of-text ids"]
    assert eos_token_ids(folder, SimpleNamespace(eos_token_id=9), False) == [2, 9]


def test_kv_heads_are_all_heads_only_where_no_key_speaks_of_them(tmp_path: Path) -> None:
    """As in the first Llamas."""
    first = {key: value for key, value in MODEL.items() if key != "num_key_value_heads"}

    assert declarations(tmp_path, first).facts["KV heads"].values == (4,)
    assert "KV heads" in declarations(tmp_path, {**first, "multi_query_group_num": 2}).unknown


def test_keys_that_a_part_of_a_config_leaves_out_are_its_classes(tmp_path: Path) -> None:
    """Gemma 3's heads are of 256 channels, whatever hidden_size and num_attention_heads would make of them."""
    text = {key: value for key, value in MODEL.items() if key != "num_key_value_heads"}
    found = declarations(tmp_path, {"text_config": {**text, "model_type": "gemma3_text"}})

    assert {"head size", "KV heads", "rotary frequencies"} <= set(found.unknown)
    assert found.facts["attention heads"].values == (4,)


def test_no_soft_cap_is_null_or_0(tmp_path: Path) -> None:
    """As engines tell it."""
    for none in (None, 0.0):
        found = declarations(tmp_path, {**MODEL, "final_logit_softcapping": none})
        assert found.facts["final soft-cap"].values == (None,)


def test_declarations_of_windows_ties_and_ends(tmp_path: Path) -> None:
    """Windows by kind of layer; ends of generation_config.json and the tokenizer's own."""
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [5, 7]}')
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": {"content": "<end>"}}')
    (tmp_path / "tokenizer.json").write_text('{"added_tokens": [{"id": 9, "content": "<end>"}], "model": {}}')
    text = {**MODEL, "sliding_window": 512, "layer_types": ["full_attention", "sliding_attention"]}
    found = declarations(tmp_path, {"text_config": text, "tie_word_embeddings": True})

    assert found.facts["sliding window"].values == (None, 512)
    assert found.facts["tied embeddings"].values == (True,)
    assert found.facts["end-of-text ids"].values == ((5, 7, 9),)
    assert declarations(tmp_path, {**text, "use_sliding_window": False}).facts["sliding window"].values == (None,)
    beyond = declarations(tmp_path, {**text, "sliding_window": 8192})
    assert "sliding window" in beyond.unknown
    latent = declarations(tmp_path, {**MODEL, "kv_lora_rank": 64, "qk_rope_head_dim": 32})
    assert "head size" in latent.unknown
    assert len(latent.facts["rotary frequencies"].values[0] or ()) == 16  # type: ignore[arg-type]
