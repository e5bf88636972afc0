"""What engine and reference share besides weights, read a second time: files, modules, tokenizer."""

import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from npu_conformance.checkpoints.declared import declarations
from npu_conformance.checkpoints.inputs import Inputs
from npu_conformance.checkpoints.own_files import OwnFiles, compare_files
from npu_conformance.checkpoints.rope import UnknownRopeError, declared_ropes
from npu_conformance.engines.modules import rotation
from npu_conformance.engines.rendering import eos_token_ids
from npu_conformance.errors import CheckpointError, TraceError
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
        assert "rope_theta 10000 at model.rotary_emb" in (check.where or "")
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
    assert check.where == f"{word} reported no value that can be compared with its files"


def test_what_an_engine_does_not_tell_is_said(scene: Scene) -> None:
    """And not judged."""
    path = scene.folder / "candidate" / "modules.json"
    path.write_text(json.dumps([one for one in json.loads(path.read_text()) if one[0] != "norm epsilon"]))
    check = by_metric(scene, "config values that the engine")

    assert (check.verdict, check.n) == ("pass", 2)
    assert (check.message or "").startswith("not reported: norm epsilon; ")


def test_rotary_frequencies_that_are_not_told_leave_the_check_open(scene: Scene) -> None:
    """The rest agreeing says nothing of what is most often read wrongly."""
    path = scene.folder / "reference" / "modules.json"
    path.write_text(json.dumps([one for one in json.loads(path.read_text()) if one[0] != "rotary frequencies"]))

    assert by_metric(scene, "config values that the reference").verdict == "inconclusive"
    assert by_metric(scene, "config values that the engine").verdict == "pass"


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
    assert len(declared_ropes({**MODEL, "rotary_dim": 32})[0].frequencies) == 16
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
        ({"rope_scaling": "yarn"}, "rope_scaling 'yarn'"),
        ({"rope_parameters": [1]}, r"rope_parameters [1]"),
        ({"rope_theta": "x"}, "with ValueError"),
        ({"rope_theta": -1.0}, "with FloatingPointError"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 0}}, "rope type 'linear' with"),
        ({"rotary_dim": 32, "partial_rotary_factor": 1.0}, "rotary_dim 32, and a partial_rotary_factor that makes 64"),
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
        ({"head_dim": 192, "v_head_dim": 128}, "attention heads", "v_head_dim: heads of several sizes"),
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
        ({"eos_token_id": 2}, None, (2, 9), "config.json: eos_token_id [2]; tokenizer_config.json: eos_token"),
        ({"eos_token_id": 2}, {"eos_token_id": [5, 7]}, (5, 7, 9), "generation_config.json: eos_token_id [5, 7]; "),
        ({"eos_token_id": 2}, {}, (9,), "generation_config.json: eos_token_id []; "),
        ({"text_config": {"eos_token_id": [3]}}, None, (3, 9), "config.json: eos_token_id [3]; "),
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
    assert eos_token_ids(folder, SimpleNamespace(eos_token_id=9)) == list(ids)


def test_stop_tokens_that_are_none_are_refused(tmp_path: Path) -> None:
    """With file and key."""
    folder = folder_of(tmp_path / "m", {}, generation_config={"eos_token_id": [[1]]})
    with pytest.raises(CheckpointError, match=r"eos_token_id is \[\[1\]\], expected a token id or a list of them"):
        declarations(folder, {})


def test_kv_heads_are_all_heads_only_where_no_key_speaks_of_them(tmp_path: Path) -> None:
    """As in the first Llamas."""
    first = {key: value for key, value in MODEL.items() if key != "num_key_value_heads"}

    assert declarations(tmp_path, first).facts["KV heads"].values == (4,)
    assert "KV heads" in declarations(tmp_path, {**first, "multi_query_group_num": 2}).unknown


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
