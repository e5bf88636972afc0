"""A candidate's own small files against the published ones."""

from pathlib import Path
from typing import Any

import pytest

from npu_conformance.checkpoints.own_files import OwnFiles, compare_files
from tests.unit.helpers.small_configs import MODEL, folder_of


def test_a_changed_base_is_told_in_either_spelling(tmp_path: Path) -> None:
    """As the new user would want it said."""
    theirs = folder_of(tmp_path / "published", {**MODEL, "torch_dtype": "bfloat16"})
    new = {key: value for key, value in MODEL.items() if key != "rope_theta"}
    same = folder_of(tmp_path / "same", {**new, "dtype": "float16", "rope_parameters": {"rope_theta": 1e6}})
    other = folder_of(tmp_path / "other", {**new, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}})

    assert compare_files(same, theirs) == OwnFiles(keys=6, differences=())
    assert compare_files(other, theirs).differences == ("config.json: rope_theta 10000, published 1000000",)


def test_files_of_the_tokenizer_and_of_generation(tmp_path: Path) -> None:
    """Key by key; a lost key counts, a default that a library wrote out does not."""
    words = {"model": {"vocab": {"a": 0, "b": 1}, "merges": ["a b"]}, "truncation": {"max_length": 5}}
    end = {"eos_token_id": [1, 2]}
    published = folder_of(
        tmp_path / "published", {**MODEL, "quantization_config": {"bits": 8}}, tokenizer=words, generation_config=end
    )
    again = {"model": {"vocab": {"a": 0, "b": 1}, "merges": [["a", "b"]]}, "truncation": None}
    same = folder_of(
        tmp_path / "same", {**MODEL, "attention_dropout": 0.0, "x": 3}, tokenizer=again, generation_config=end
    )
    assert compare_files(same, published).differences == ()

    again["model"]["vocab"] = {"a": 1, "b": 0}  # type: ignore[index]
    other = folder_of(
        tmp_path / "other", {**MODEL, "sliding_window": 64}, tokenizer=again, generation_config={"eos_token_id": 1}
    )
    assert compare_files(other, published).differences == (
        "config.json: sliding_window 64, published not there",
        "generation_config.json: eos_token_id 1, published [1, 2]",
        'tokenizer.json: model.vocab {"a": 1, "b": 0}, published {"a": 0, "b": 1}',
    )
    lost = folder_of(tmp_path / "lost", MODEL, tokenizer=again)
    assert (
        "generation_config.json: eos_token_id not there, published [1, 2]" in compare_files(lost, published).differences
    )


@pytest.mark.parametrize(
    ("own", "theirs", "counts"),
    [
        ({}, {"tie_word_embeddings": False}, True),
        ({"tie_word_embeddings": False}, {}, True),
        ({"tie_word_embeddings": True}, {}, False),
        ({}, {"tie_word_embeddings": True}, False),
        ({}, {"norm_topk_prob": False}, True),
        ({}, {"eos_token_id": 0}, True),
        ({}, {"attention_dropout": 0.0}, False),
        ({"attention_bias": False}, {}, False),
        ({"attention_bias": True}, {}, True),
        ({"sliding_window": None}, {}, False),
    ],
)
def test_a_key_that_one_side_has_alone(
    tmp_path: Path, own: dict[str, Any], theirs: dict[str, Any], counts: bool
) -> None:
    """False and 0 can make another model; what libraries write out as a default does not."""
    found = compare_files(
        folder_of(tmp_path / "own", {**MODEL, **own}), folder_of(tmp_path / "published", {**MODEL, **theirs})
    )
    assert bool(found.differences) == counts


def test_kinds_of_layers_that_rotate_differently_are_one_in_both_spellings(tmp_path: Path) -> None:
    """Gemma 3's keys, and what transformers 5 writes of them."""
    text = {key: value for key, value in MODEL.items() if key != "rope_theta"}
    linear = {"rope_type": "linear", "factor": 8.0}
    published = {**text, "rope_theta": 1e6, "rope_local_base_freq": 1e4, "rope_scaling": linear}
    local = {"rope_type": "default", "rope_theta": 1e4}
    saved = {**text, "rope_parameters": {"full_attention": {**linear, "rope_theta": 1e6}, "sliding_attention": local}}
    theirs = folder_of(tmp_path / "published", published)
    assert compare_files(folder_of(tmp_path / "same", saved), theirs).differences == ()

    local["rope_theta"] = 1e3
    (found,) = compare_files(folder_of(tmp_path / "other", saved), theirs).differences
    assert found.startswith('config.json: rotary embeddings ["rope_theta 1000, ')


def test_a_config_that_leaves_all_to_its_class_may_be_written_out(tmp_path: Path) -> None:
    """As Gemma 3's is, which has not even its norms' epsilon; what both say is compared."""
    short = {"text_config": {"hidden_size": 256, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}}
    theirs = folder_of(tmp_path / "published", short)
    full = {"hidden_size": 256, "rms_norm_eps": 1e-6, "query_pre_attn_scalar": 256, "rope_theta": 1e6}
    assert compare_files(folder_of(tmp_path / "full", {"text_config": full}), theirs).differences == ()

    other = {"text_config": {**full, "hidden_size": 128}}
    assert compare_files(folder_of(tmp_path / "other", other), theirs).differences == (
        "config.json: text_config.hidden_size 128, published 256",
    )


def test_stop_tokens_may_be_in_either_file(tmp_path: Path) -> None:
    """Without generation_config.json engines take them from config.json."""
    theirs = folder_of(tmp_path / "published", {**MODEL, "eos_token_id": 2})
    for ends, counts in (({"eos_token_id": 2}, False), ({"eos_token_id": 3}, True)):
        own = folder_of(tmp_path / str(counts), {**MODEL, "eos_token_id": 2}, generation_config=ends)
        assert bool(compare_files(own, theirs).differences) == counts


def test_a_file_that_the_candidate_has_alone(tmp_path: Path) -> None:
    """Its stop tokens, penalties and template are others than those of a folder without it."""
    generation = {"eos_token_id": 7, "repetition_penalty": 1.1}
    own = folder_of(tmp_path / "own", MODEL, generation_config=generation, tokenizer_config={"x": 1})
    (own / "chat_template.jinja").write_text("{{ messages }}")

    assert compare_files(own, folder_of(tmp_path / "published", MODEL)).differences == (
        "generation_config.json: eos_token_id 7, published not there",
        "generation_config.json: repetition_penalty 1.1, published not there",
        "tokenizer_config.json: chat_template {{ messages }}, published not there",
    )
