"""Adapters' folders that vLLM refuses, or applies as another model than PEFT does: each is named before an engine."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.checkpoints.adapters.config import lora_options
from npu_conformance.checkpoints.adapters.inspect import examine_adapter
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.tiny_adapters import CONFIG, Q0, Matrices, matrices, write_adapter

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 67108864\n"


def found(folder: Path) -> str:
    """The errors and warnings of an adapter's folder, or why it could not be read."""
    try:
        findings = examine_adapter(folder).findings
    except CheckpointError as error:
        return f"error: {error}"
    return "\n".join(f"{one.level}: {one}" for one in findings if one.level != "note")


CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "another kind": ({"peft_type": "IA3"}, "peft_type is 'IA3'; vLLM serves LORA only"),
    "a kind of number": ({"peft_type": 7}, "peft_type is 7; vLLM serves LORA only"),
    "rank too large": ({"r": 100_000}, "r is 100000, vLLM serves ranks up to 512"),
    "rank zero": ({"r": 0}, "r is 0, expected greater than or equal to 1"),
    "rank negative": ({"r": -5}, "r is -5, expected greater than or equal to 1"),
    "rank a float": ({"r": 8.9}, "r is 8.9, expected a valid integer"),
    "rank a bool": ({"r": True}, "r is True, expected a valid integer"),
    "rank a string": ({"r": "8"}, "r is '8', expected a valid integer"),
    "alpha null": ({"lora_alpha": None}, "lora_alpha is None, expected a valid number"),
    "alpha zero": ({"lora_alpha": 0}, "lora_alpha is 0, so that the adapter changes nothing"),
    "alpha not finite": ({"lora_alpha": float("inf")}, "lora_alpha is inf, expected a finite number"),
    "alpha negative": ({"lora_alpha": -16}, "warning: adapter_config.json: lora_alpha is -16, which subtracts"),
    "no targets": ({"target_modules": ["nope"]}, "target_modules names 'nope', of which the adapter has no weights"),
    "a target too many": ({"target_modules": ["q_proj", "v_proj", "nope"]}, "warning: adapter_config.json: target_mod"),
    "a target too few": ({"target_modules": ["q_proj"]}, "v_proj (and 3 more), which target_modules does not name"),
    "targets a number": ({"target_modules": 3}, "target_modules is 3, expected a valid"),
    "dora": ({"use_dora": True}, "use_dora is true, vLLM does not serve DoRA: merge the adapter into its base model"),
    "rslora a string": ({"use_rslora": "true"}, "use_rslora is 'true', expected a valid boolean"),
    "saved modules": ({"modules_to_save": ["lm_head"]}, "modules_to_save names 'lm_head', whole modules that vLLM"),
    "bias": ({"bias": "all"}, "bias is 'all', vLLM adds no biases"),
    "lora bias": ({"lora_bias": True}, "lora_bias is true, vLLM adds no biases"),
    "pissa": ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights is 'pissa_niter_4', which changes the base"),
    "activated": ({"alora_invocation_tokens": [1]}, "vLLM does not serve activated LoRA"),
    "repeated layers": ({"layer_replication": [[0, 2]]}, "vLLM does not repeat layers"),
    "rank of a module zero": ({"rank_pattern": {"q_proj": 0}}, "rank_pattern['q_proj'] is 0, expected greater than"),
    "rank of a module huge": ({"rank_pattern": {"x": 1024}}, "a rank of rank_pattern is 1024, vLLM serves ranks up to"),
    "rank of a module wrong": (
        {"rank_pattern": {"q_proj": 4}},
        "q_proj has rank 8 (and 3 more), by r and rank_pattern",
    ),
    "rank other than stored": ({"r": 16}, "q_proj has rank 8 (and 7 more), by r and rank_pattern it is 16"),
    "alpha of a module null": (
        {"alpha_pattern": {"q_proj": None}},
        "alpha_pattern['q_proj'] is None, expected a valid",
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_that_is_not_served_is_named(tmp_path: Path, name: str) -> None:
    """By its key and value, with what to do."""
    changed, message = CONFIGS[name]

    assert message in found(write_adapter(tmp_path, **changed))


@pytest.mark.parametrize("missing", ["peft_type", "r", "lora_alpha", "target_modules"])
def test_a_key_that_vllm_needs_is_named(tmp_path: Path, missing: str) -> None:
    """An empty config lacks all of them."""
    write_adapter(tmp_path)
    config = {key: value for key, value in CONFIG.items() if key != missing}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))

    assert f"{missing} is missing; vLLM" in found(tmp_path)
    with pytest.raises(CheckpointError, match="is missing"):
        lora_options(tmp_path)


def _with(name: str, values: object) -> Callable[[Matrices], Matrices]:
    return lambda weights: weights | {name: np.asarray(values, dtype=np.float32)}


def _renamed(old: str, new: str) -> Callable[[Matrices], Matrices]:
    return lambda weights: {name.replace(old, new): values for name, values in weights.items()}


def _half(side: str) -> Callable[[Matrices], Matrices]:
    return lambda weights: {name: values for name, values in weights.items() if f"lora_{side}" not in name}


WEIGHTS: dict[str, tuple[Callable[[Matrices], Matrices], str]] = {
    "none": (lambda _: {}, "it holds no LoRA; engines serve the base model"),
    "NaN": (_with(f"{Q0}.lora_A.weight", np.full((8, 64), np.nan)), f"NaN or infinity in {Q0}.lora_A.weight"),
    "infinity": (_with(f"{Q0}.lora_B.weight", np.full((64, 8), -np.inf)), "NaN or infinity in"),
    "all zero": (
        lambda weights: {name: values * ("lora_A" in name) for name, values in weights.items()},
        "all 8 matrices B are zero, as before training; the adapter changes nothing",
    ),
    "A without B": (_half("B"), "q_proj has A [8, 64] of F32, expected A of [rank, inputs]"),
    "B without A": (_half("A"), "q_proj has B [64, 8] of F32, expected A of [rank, inputs]"),
    "ranks of A and B": (_with(f"{Q0}.lora_B.weight", np.ones((64, 4))), "A [8, 64] of F32 and B [64, 4] of F32"),
    "three dimensions": (_with(f"{Q0}.lora_B.weight", np.ones((64, 8, 1))), "B [64, 8, 1] of F32, expected"),
    "an adapter's name": (_renamed(".weight", ".default.weight"), "it is saved under an adapter's name"),
    "no prefix": (_renamed("base_model.model.", ""), "its name does not begin with base_model.model."),
    "DoRA's": (_with(f"{Q0}.lora_magnitude_vector.weight", [1.0]), "it is part of DoRA, which vLLM does not serve"),
    "another tensor": (
        _with("base_model.model.lm_head.weight", [[1.0]]),
        "it is no weight of a LoRA, and vLLM refuses",
    ),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_are_not_served_are_named(tmp_path: Path, name: str) -> None:
    """By tensor, with what was expected."""
    change, message = WEIGHTS[name]

    assert message in found(write_adapter(tmp_path, change(matrices())))


def test_matrices_of_whole_numbers_are_named(tmp_path: Path) -> None:
    """Engines would take codes for weights."""
    weights = {name: values.astype(np.int8) for name, values in matrices().items()}

    assert "A [8, 64] of I8 and B [64, 8] of I8, expected" in found(write_adapter(tmp_path, weights))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no weights here (adapter_model.safetensors or adapter_model.bin)"),
        (POINTER, "a Git LFS pointer to a file of 67.1 MB, not the file: run `git lfs pull`"),
        (b"", "not a safetensors file"),
        (b"\x40\x00\x00\x00\x00\x00\x00\x00{}", "not a safetensors file (its header would be 64 bytes long"),
    ],
    ids=["missing", "pointer", "empty", "truncated"],
)
def test_a_file_that_is_no_adapters_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    """As it is for a model's."""
    path = write_adapter(tmp_path) / "adapter_model.safetensors"
    path.unlink()
    if content is not None:
        path.write_bytes(content)

    assert message in found(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "cannot be read as JSON"), ("[]", "expected a JSON object"), (POINTER.decode(), "a Git LFS pointer")],
)
def test_a_config_that_is_none_is_named(tmp_path: Path, text: str, message: str) -> None:
    """As a model's is."""
    (write_adapter(tmp_path) / "adapter_config.json").write_text(text)

    assert message in found(tmp_path)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"use_rslora": True, "lora_alpha": 16.5},
        {"target_modules": "all-linear"},
        {"target_modules": r".*\.(q|v)_proj"},
        {"target_modules": None},
        {"target_modules": ["self_attn.q_proj", "v_proj"]},
        {"rank_pattern": {r"(a+)+$": 4}},
        {"init_lora_weights": "gaussian", "use_dora": None},
        {"peft_version": "0.21.2", "corda_config": None},
    ],
)
def test_a_right_adapter_is_silent(tmp_path: Path, changed: dict[str, Any]) -> None:
    """As PEFT writes them, of several releases."""
    assert found(write_adapter(tmp_path, **changed)) == ""


def test_the_rank_of_every_module_counts(tmp_path: Path) -> None:
    """Also for the engine's max_lora_rank."""
    weights = matrices(("self_attn.v_proj",)) | matrices(("self_attn.q_proj",), rank=48)
    write_adapter(tmp_path, weights, rank_pattern={"q_proj": 48})

    assert found(tmp_path) == ""
    assert lora_options(tmp_path)["max_lora_rank"] == 64


@pytest.mark.parametrize(("rank", "served"), [(1, 8), (8, 8), (9, 16), (16, 16), (512, 512)])
def test_the_rank_is_the_next_one_vllm_has(tmp_path: Path, rank: int, served: int) -> None:
    """Its kernels are for some ranks only."""
    assert lora_options(write_adapter(tmp_path, r=rank))["max_lora_rank"] == served


def test_an_adapter_in_a_bin_file(tmp_path: Path) -> None:
    """Its header is read without running the pickle; that its values were not looked at is said."""
    import torch

    write_adapter(tmp_path)
    (tmp_path / "adapter_model.safetensors").unlink()
    weights = {name: torch.from_numpy(values) for name, values in matrices().items()}
    torch.save(weights, tmp_path / "adapter_model.bin")
    assert found(tmp_path) == ""
    assert "adapter_model.bin: it is no safetensors file" in "\n".join(map(str, examine_adapter(tmp_path).findings))

    torch.save({f"{Q0}.lora_A.weight": torch.ones(8, 64)}, tmp_path / "adapter_model.bin")
    assert "q_proj has A [8, 64] of F32, expected A of" in found(tmp_path)
    (tmp_path / "adapter_model.bin").write_bytes(POINTER)
    assert "a Git LFS pointer to a file of 67.1 MB" in found(tmp_path)
