"""What engine and reference share besides weights, read a second time: files, modules, tokenizer."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.checkpoints.declared import declarations
from npu_conformance.checkpoints.inputs import Inputs
from npu_conformance.checkpoints.own_files import OwnFiles, compare_files
from npu_conformance.checkpoints.rope import UnknownRopeError, declared_ropes
from npu_conformance.engines.modules import rotation
from npu_conformance.errors import TraceError
from npu_conformance.gates import shared_inputs
from npu_conformance.results import Check

from .conftest import Scene
from .small_traces import DECLARED

MODEL: dict[str, Any] = {
    "hidden_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 8192,
    "rope_theta": 1_000_000,
}
LONG = {
    "rope_type": "longrope",
    "short_factor": [1 + pair / 100 for pair in range(32)],
    "long_factor": [2.0 + pair for pair in range(32)],
    "original_max_position_embeddings": 2048,
}
TYPES: dict[str, dict[str, Any]] = {
    "linear": {"rope_type": "linear", "factor": 4.0},
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 1024,
    },
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048},
    "yarn, not cut": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048, "truncate": False},
    "longrope": LONG,
}


def by_metric(scene: Scene, start: str) -> Check:
    """The one check of a metric."""
    (found,) = [check for check in shared_inputs(scene.evidence()) if check.metric.startswith(start)]
    return found


def test_a_fault_is_told_with_key_file_and_both_values(scene: Scene) -> None:
    """On both sides, and with the base that was taken instead."""
    wrong = [10_000 ** (-pair / 16) for pair in range(16)]
    scene.edit_modules("rotary frequencies", wrong, "candidate", "reference")
    for side in ("engine", "reference"):
        check = by_metric(scene, f"config values that the {side} has")
        assert (check.verdict, check.observed, check.n) == ("fail", 2, 3)
        assert (check.where or "").startswith("config.json: rope_theta 1e+06, rope type default; ")
        assert "rope_theta 1e+04 at model.rotary_emb" in (check.where or "")
        assert check.message == "not judged: sliding window (config.json does not say)"


def test_another_tokenizer_class_than_the_files_fails_alone(scene: Scene) -> None:
    """Engine and reference were given the same ids, which are not tokenizer.json's."""
    other = dataclasses.replace(scene, second_ids=(((1, 2, 3),), ((1, 2, 9, 4),), ((1, 2, 5), (7, 1, 2, 5))))
    check = by_metric(other, "prompts with the ids")

    assert (check.verdict, check.observed, check.limit) == ("fail", 2, 3)
    assert (check.where or "").startswith("set/second: ids [4] from index 2, by tokenizer.json alone [9, 4]")
    assert {name for name, verdict in other.verdicts().items() if verdict == "fail"} == {"shared_inputs"}


@pytest.mark.parametrize("side", ["candidate", "reference"])
def test_nothing_told_is_no_pass(scene: Scene, side: str) -> None:
    """0 of 0 fails, and says so."""
    (scene.folder / side / "modules.json").write_text("[]")
    word = "the engine" if side == "candidate" else "the reference"
    check = by_metric(scene, f"config values that {word}")

    assert (check.verdict, check.n) == ("fail", 0)
    assert check.where == f"{word} told nothing that can be held against its files"


def test_what_an_engine_does_not_tell_is_said(scene: Scene) -> None:
    """And not judged."""
    path = scene.folder / "candidate" / "modules.json"
    path.write_text(json.dumps([one for one in json.loads(path.read_text()) if one[0] != "norm epsilon"]))
    check = by_metric(scene, "config values that the engine")

    assert (check.verdict, check.n) == ("pass", 2)
    assert (check.message or "").startswith("not told: norm epsilon; ")


def test_older_traces_are_no_pass(scene: Scene) -> None:
    """Their config was read once."""
    with pytest.raises(TraceError, match="not read a second time"):
        shared_inputs(dataclasses.replace(scene.evidence(), inputs=None))


def test_a_candidates_own_files_are_judged(scene: Scene) -> None:
    """A key that differs is told with both values."""
    files = OwnFiles(keys=40, differences=("config.json: rope_theta 10000, published 1000000",))
    own = dataclasses.replace(scene, inputs=Inputs(candidate=DECLARED, reference=DECLARED, own_files=files))
    check = by_metric(own, "keys of the candidate's files")

    assert (check.verdict, check.observed, check.n) == ("fail", 39, 40)
    assert check.where == "config.json: rope_theta 10000, published 1000000"


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("theta", [10_000.0, 1_000_000.0])
def test_frequencies_are_those_of_transformers(kind: str, theta: float) -> None:
    """Which are computed by another's lines; in both spellings of the config."""
    import torch  # noqa: F401
    import transformers
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rope = TYPES[kind]
    old = {**MODEL, "rope_theta": theta, "rope_scaling": dict(rope)}
    new = {key: value for key, value in MODEL.items() if key != "rope_theta"}
    new["rope_parameters"] = {**rope, "rope_theta": theta}
    if rope["rope_type"] == "longrope":
        old["original_max_position_embeddings"] = rope["original_max_position_embeddings"]
    ropes = declared_ropes(old)
    for mine, length in zip(ropes, (None, 4096), strict=False):
        config = transformers.LlamaConfig(**json.loads(json.dumps(old)))
        theirs, scale = ROPE_INIT_FUNCTIONS[rope["rope_type"]](config, "cpu", seq_len=length)
        assert np.allclose(mine.frequencies, theirs.numpy(), rtol=1e-5)
        assert mine.scale == pytest.approx(scale)
    assert [rope.frequencies.tolist() for rope in declared_ropes(new)] == [one.frequencies.tolist() for one in ropes]


def test_heads_that_are_rotated_in_part_and_kinds_of_layers() -> None:
    """A partial factor in either place; a rope for each kind of layer that there is, in either spelling."""
    assert len(declared_ropes({**MODEL, "partial_rotary_factor": 0.25})[0].frequencies) == 8
    nested = {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    }
    text = {key: value for key, value in MODEL.items() if key != "rope_theta"}
    assert [rope.theta for rope in declared_ropes({**text, "rope_parameters": nested})] == [1e6, 1e4]
    one_kind = {**text, "rope_parameters": nested, "layer_types": ["full_attention"]}
    assert [rope.theta for rope in declared_ropes(one_kind)] == [1e6]
    gemma = {**MODEL, "rope_local_base_freq": 10_000, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}
    assert [(rope.kind, rope.theta) for rope in declared_ropes(gemma)] == [("linear", 1e6), ("default", 1e4)]
    mrope = {**MODEL, "rope_scaling": {"type": "mrope", "mrope_section": [16, 8, 8]}}
    assert declared_ropes(mrope)[0].frequencies.tolist() == declared_ropes(MODEL)[0].frequencies.tolist()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "rope type 'dynamic'"),
        ({"rope_parameters": {"rope_theta": 10_000.0}}, "rope_parameters has rope_theta 10000.0, the older spelling"),
        ({"rope_theta": None}, "names no rope_theta"),
        ({"rope_scaling": {**LONG, "short_factor": [1.0]}}, "LongRoPE with 1 factors for 32 pairs"),
        ({"rope_scaling": {"rope_type": "llama3"}}, "rope type 'llama3' with KeyError"),
    ],
)
def test_what_is_not_recognised_is_not_guessed(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    """It is said, and the rest is judged."""
    with pytest.raises(UnknownRopeError, match=words):
        declared_ropes({**MODEL, **changes})
    found = declarations(tmp_path, {**MODEL, **changes})
    assert words in found.unknown["rotary frequencies"]
    assert found.facts["KV heads"].values == (2,)


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


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("scale", [1.0, 1.1386])
def test_a_table_tells_its_frequencies(dtype: str, scale: float) -> None:
    """Within the last places of the dtype that it is kept in, down to the slowest pair."""
    import torch

    exact = 5_000_000.0 ** (-np.arange(64) / 64)
    angles = np.outer([0, *(2**power for power in range(15))], exact)
    table = torch.tensor(np.concatenate([np.cos(angles), np.sin(angles)], axis=1) * scale)
    rows = table.to(getattr(torch, dtype)).double().numpy()
    found, told = rotation(rows, 64)

    assert np.abs(found / exact - 1).max() < (1e-5 if dtype == "float32" else 0.01)
    assert told == pytest.approx(scale, rel=0.005)


def folder_of(folder: Path, config: dict[str, Any], **files: dict[str, Any]) -> Path:
    """A checkpoint's small files."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


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
