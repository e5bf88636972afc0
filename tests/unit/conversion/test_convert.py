"""Converting a checkpoint: what is written, what is left alone, what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.__main__ import main
from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.inspect import inspect
from npu_conformance.checkpoints.quantisation.schema import GptqOptions
from npu_conformance.conversion import ternary
from npu_conformance.conversion.convert import convert
from npu_conformance.conversion.plan import plan
from npu_conformance.errors import CheckpointError
from tests.unit.conversion.test_gptq import random_weight
from tests.unit.helpers.quantised_checkpoints import (
    BLOCK,
    COUNTER,
    DOWN,
    EMBEDDING,
    INPUT_SCALE,
    NORM,
    UP,
    dequantised,
    edit_config,
    edit_tensors,
    load_all,
    record_of,
    save_checkpoint,
    save_fp8,
    save_latents,
    unwatched,
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A checkpoint in block FP8."""
    return save_fp8(tmp_path / "source")


def test_weights_are_dequantised_and_everything_else_is_left_alone(source: Path, tmp_path: Path) -> None:
    """Bit for bit; scales are gone."""
    import torch

    (source / "nested").mkdir()
    (source / "nested" / "template.txt").write_text("kept")
    (source / ".hidden").write_text("dropped")
    index = {"weight_map": dict.fromkeys(load_all(source), "model.safetensors")}
    (source / "model.safetensors.index.json").write_text(json.dumps(index))

    convert(source, tmp_path / "out", None, unwatched)
    before, after = load_all(source), load_all(tmp_path / "out")
    assert set(after) == {EMBEDDING, NORM, COUNTER, UP, DOWN}
    for name in (UP, DOWN):
        assert torch.equal(after[name], dequantised(source, name).to(torch.bfloat16))
    for name in (EMBEDDING, NORM, COUNTER):
        assert after[name].dtype == before[name].dtype
        assert torch.equal(after[name], before[name])
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == {
        "architectures": ["A"],
        "vocab_size": 10,
        "dtype": "bfloat16",
    }
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*")) == [
        "config.json",
        "conversion.json",
        "model.safetensors",
        "nested",
        "nested/template.txt",
        "tokenizer.json",
    ]
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == (source / "tokenizer.json").read_bytes()
    inspect(tmp_path / "out")


def test_an_asked_for_dtype_is_for_what_an_engine_would_cast(source: Path, tmp_path: Path) -> None:
    """Weights, 16-bit tensors, and the config with its parts; what is in float32 beside them is so on purpose."""
    import torch

    edit_config(source, text_config={"vocab_size": 10, "torch_dtype": "bfloat16"})

    convert(source, tmp_path / "out", "float16", unwatched)

    after = load_all(tmp_path / "out")
    cast = dict.fromkeys((EMBEDDING, UP, DOWN), torch.float16)
    assert {name: value.dtype for name, value in after.items()} == {COUNTER: torch.int64, NORM: torch.float32} | cast
    assert torch.equal(after[EMBEDDING], load_all(source)[EMBEDDING].to(torch.float16))
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == {
        "architectures": ["A"],
        "vocab_size": 10,
        "dtype": "float16",
        "text_config": {"vocab_size": 10, "torch_dtype": "float16"},
    }
    entries = record_of(tmp_path / "out")["shards"]["model.safetensors"]
    assert {entry["name"]: entry["scheme"] for entry in entries} == {EMBEDDING: "cast", UP: "fp8", DOWN: "fp8"}
    assert record_of(tmp_path / "out")["total"]["weights"] == 2


def test_a_config_without_a_dtype_gets_one(source: Path, tmp_path: Path) -> None:
    """From the command line; nothing is assumed."""
    edit_config(source, dtype=None)

    with pytest.raises(CheckpointError, match=r"dtype or torch_dtype: expected one of .* give --dtype"):
        convert(source, tmp_path / "out", None, unwatched)
    convert(source, tmp_path / "out", "float16", unwatched)

    assert json.loads((tmp_path / "out" / "config.json").read_text())["torch_dtype"] == "float16"


def test_the_record_says_what_rounding_cost(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By weight and altogether, as computed here from whole tensors; the conversion works in small blocks."""
    import torch

    monkeypatch.setattr("npu_conformance.conversion.plan._BLOCK_ELEMENTS", 200)

    convert(source, tmp_path / "out", None, unwatched)

    record = record_of(tmp_path / "out")
    entries = {entry["name"]: entry for entry in record["shards"]["model.safetensors"]}
    tensors, errors, squares = load_all(source), [], []
    for name in (UP, DOWN):
        exact = dequantised(source, name).double()
        error = exact - exact.to(torch.bfloat16).double()
        errors.append(error.square().sum().item())
        squares.append(exact.square().sum().item())
        codes, scale = tensors[name].float(), tensors[f"{name}_scale_inv"]
        spread = scale.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)[: exact.shape[0], : exact.shape[1]]
        assert entries[name] == {
            "name": name,
            "scheme": "fp8",
            "shape": list(exact.shape),
            "block": [BLOCK, BLOCK],
            "rms": pytest.approx(exact.square().mean().sqrt().item()),
            "max_absolute_error": pytest.approx(error.abs().max().item()),
            "relative_rms_error": pytest.approx((errors[-1] / squares[-1]) ** 0.5),
            "min_code": codes.min().item(),
            "max_code": codes.max().item(),
            "min_scale": scale.min().item(),
            "mean_scale": pytest.approx(spread.mean().item()),
            "max_scale": scale.max().item(),
        }
        assert 0.001 < entries[name]["relative_rms_error"] < 0.002
    assert set(entries) == {UP, DOWN}
    assert record["total"]["relative_rms_error"] == pytest.approx((sum(errors) / sum(squares)) ** 0.5)
    assert (record["total"]["weights"], record["total"]["parameters"]) == (2, 2 * 72 * 40)
    assert record["total"]["mean_scale"] == pytest.approx((entries[UP]["mean_scale"] + entries[DOWN]["mean_scale"]) / 2)
    assert (record["source"], record["scheme"], record["dtype"]) == (str(source), "fp8", "bfloat16")
    assert record["left_out"] == [INPUT_SCALE]


def test_gptq(tmp_path: Path) -> None:
    """By the options in the config; AutoGPTQ's own file of options is not copied."""
    import torch

    options = GptqOptions(bits=8, group_size=16, sym=True)
    packed, expected = random_weight(options)
    tensors = {f"model.layers.0.q_proj.{part}": value for part, value in vars(packed).items()}
    source = save_checkpoint(tmp_path / "source", tensors, {"torch_dtype": "float16"})
    edit_config(source, quantization_config=options.model_dump() | {"quant_method": "gptq"})
    (source / "quantize_config.json").write_text("{}")

    convert(source, tmp_path / "out", None, unwatched)

    assert load_all(tmp_path / "out").keys() == {"model.layers.0.q_proj.weight"}
    found = load_all(tmp_path / "out")["model.layers.0.q_proj.weight"]
    assert torch.equal(found, torch.from_numpy(expected).to(torch.float16))
    assert not (tmp_path / "out" / "quantize_config.json").exists()
    entry = record_of(tmp_path / "out")["shards"]["model.safetensors"][0]
    assert (entry["bits"], entry["group_size"], entry["min_code"], entry["max_code"]) == (8, 16, -128, 127)


def test_gptq_options_may_be_in_a_file_of_their_own(tmp_path: Path) -> None:
    """As AutoGPTQ wrote them at first, without a method."""
    options = {"bits": 8, "group_size": 16, "sym": True}
    (tmp_path / "quantize_config.json").write_text(json.dumps(options | {"damp_percent": 0.1}))
    checkpoint = Checkpoint(tmp_path, {"torch_dtype": "float16"}, {})

    assert plan(checkpoint, None, None).scheme.options.items() >= options.items()


@pytest.fixture
def latents(tmp_path: Path) -> Path:
    """A checkpoint of ternary latents."""
    return save_latents(tmp_path / "latents")


def test_ternary_latents_are_fused_once(latents: Path, tmp_path: Path) -> None:
    """From a `.bin` file; what is ternary stays as it is, and so do embedding and head."""
    import torch

    convert(latents, tmp_path / "out", None, unwatched, ternary_group_size=16)

    before = torch.load(latents / "pytorch_model.bin", weights_only=True)
    after = load_all(tmp_path / "out")
    assert torch.equal(after.pop(UP), ternary.fuse(before.pop(UP), 16).to(torch.bfloat16))
    assert after.keys() == before.keys()
    assert [name for name in before if not torch.equal(after[name], before[name])] == []
    assert not list((tmp_path / "out").glob("*.bin"))
    entries = {entry["name"]: entry for entry in record_of(tmp_path / "out")["shards"]["model.safetensors"]}
    assert {name: entry["fused"] for name, entry in entries.items()} == {UP: True, DOWN: False}
    assert entries[DOWN]["relative_rms_error"] == 0


def set_values(name: str, value: float) -> Callable[[dict[str, Any]], object]:
    """The first element of a tensor becomes something else."""
    return lambda tensors: tensors[name].view(-1)[:1].fill_(value)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (set_values(f"{UP}_scale_inv", 0), f"model.safetensors: {UP}: its scales are 0 to"),
        (set_values(f"{UP}_scale_inv", float("nan")), f"model.safetensors: {UP}: its scales are nan"),
        (lambda tensors: tensors.pop(UP), f"{UP}_scale_inv scales no float8_e4m3fn tensor"),
        (set_values(f"{UP}_scale_inv", 1e5), f"model.safetensors: {UP}: it holds .* float16 ends at 65504"),
        (
            set_values(EMBEDDING, 1e5),
            f"model.safetensors: {EMBEDDING}: it holds .* to 99840, but float16 ends at 65504",
        ),
    ],
)
def test_damaged_weights_are_named(source: Path, tmp_path: Path, edit: Callable[[Any], object], message: str) -> None:
    """File, tensor and what is wrong, in one line; there is no destination."""
    edit_tensors(source, edit)

    with pytest.raises(CheckpointError, match=message) as caught:
        convert(source, tmp_path / "out", "float16", unwatched)

    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(source))
    assert not (tmp_path / "out").exists()


def test_another_float8_is_not_passed_on(source: Path, tmp_path: Path) -> None:
    """An engine would take its bytes for what the config says."""
    import torch

    edit_tensors(source, lambda tensors: tensors.update({NORM: tensors[NORM].abs().to(torch.float8_e8m0fnu)}))

    with pytest.raises(CheckpointError, match=f"{NORM} is stored as F8_E8M0, which no fp8 checkpoint needs"):
        convert(source, tmp_path / "out", None, unwatched)


def test_a_plain_checkpoint_is_refused(latents: Path, tmp_path: Path) -> None:
    """Before anything is written: that its weights are latents is for its user to say."""
    with pytest.raises(CheckpointError, match=r"config\.json: quantization_config: none, so there is nothing to conv"):
        convert(latents, tmp_path / "out", None, unwatched)

    assert [path.name for path in tmp_path.iterdir()] == ["latents"]


@pytest.mark.parametrize(
    ("quantisation", "group_size", "message"),
    [
        (
            {"quant_method": "bitsandbytes"},
            None,
            "quant_method is 'bitsandbytes', expected one of awq, .*gptq: no",
        ),
        ({"bits": 4}, None, "quant_method is None, expected one of awq, .*fp8, gptq"),
        ({"quant_method": "gptq", "bits": 4}, None, "config.json: quantization_config: group_size: required key is"),
        ({"quant_method": "fp8"}, 128, "quant_method is 'fp8', so --ternary-group-size means nothing"),
        ({"quant_method": "fp8", "weight_block_size": [128]}, None, r"weight_block_size: .* found \[128\]"),
        ({"quant_method": "fp8", "weight_block_size": [0, 128]}, None, r"weight_block_size: .* found \[0, 128\]"),
        (None, 16, r"no matrix named \*_proj.weight here"),
    ],
)
def test_what_cannot_be_converted_is_refused(
    quantisation: dict[str, Any] | None, group_size: int | None, message: str
) -> None:
    """By the key that says so."""
    config = {"torch_dtype": "bfloat16", "quantization_config": quantisation}

    with pytest.raises(CheckpointError, match=message):
        plan(Checkpoint(Path("model"), config, {}), None, group_size)


def test_the_command(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Says where the result is and what it cost; refuses to write there again."""
    arguments = ["dev", "convert", str(source), str(tmp_path / "out")]

    assert main([*arguments, "--dtype", "float16"]) == 0
    printed = capsys.readouterr()
    assert main(arguments) == 1

    where, cost = printed.out.splitlines()
    assert where == str(tmp_path / "out")
    assert cost.startswith("2 weights from fp8; rounding them to float16 cost 0.0")
    assert "is there already and is not overwritten" in capsys.readouterr().err


def test_the_command_fuses_in_whole_rows(latents: Path, tmp_path: Path) -> None:
    """A group size of -1 is no option of its own."""
    assert main(["dev", "convert", str(latents), str(tmp_path / "out"), "--ternary-group-size", "-1"]) == 0

    assert record_of(tmp_path / "out")["options"] == {"group_size": -1}
