"""Real faults of converting, adapting and loading, judged by the real command on twins: caught, and by name.

Each fault is made by this file's own code, in a checkpoint folder that the candidate's engine then loads.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from npu_conformance.checkpoints.inspect import inspect
from tests.unit.helpers.faulty_twins import RECIPES, Twins, judged, run_python
from tests.unit.helpers.suite_runs import Outcome, judge

pytestmark = pytest.mark.engine


def converted(published: Path, folder: Path, change: str) -> Path:
    """The published checkpoint as plain weights, by code of this test: `change` makes `plain` of one module."""
    shutil.copytree(published, folder, ignore=shutil.ignore_patterns("model.safetensors", "twin.json"))
    code = (
        """
stored = load_file(sys.argv[1] + "/model.safetensors")
config = json.load(open(sys.argv[1] + "/config.json"))
dtype = torch.bfloat16 if config.pop("quantization_config")["quant_method"] == "fp8" else torch.float16

def fp8(weight, scale):
    spread = scale.repeat_interleave(128, 0).repeat_interleave(128, 1)
    return weight.float() * spread[: weight.shape[0], : weight.shape[1]]

def gptq(qweight, scales, zero=128, group=128, signed=False):
    lanes = torch.stack([(qweight.long() >> (8 * lane)) & 255 for lane in range(4)], 1).flatten(0, 1)
    codes = torch.where(lanes > 127, lanes - 256, lanes) if signed else lanes - zero
    return (codes.float() * scales.float()[torch.arange(len(codes)) // group]).T

out = {}
for name, tensor in stored.items():
    module, _, part = name.rpartition(".")
    if part == "weight" and module + ".weight_scale_inv" in stored:
        weight, scale = tensor, stored[module + ".weight_scale_inv"]
        plain = fp8(weight, scale)
        """
        + (change if "fp8(" in change or "scale" in change else "pass")
        + """
        out[name] = plain
    elif part == "qweight":
        qweight, scales = tensor, stored[module + ".scales"]
        plain = gptq(qweight, scales)
        """
        + (change if "gptq(" in change else "pass")
        + """
        out[module + ".weight"] = plain
    elif part not in ("weight_scale_inv", "qzeros", "scales", "g_idx"):
        out[name] = tensor
save_file({k: v.to(dtype).contiguous() for k, v in out.items()}, sys.argv[2] + "/model.safetensors", {"format": "pt"})
config["dtype"] = str(dtype).removeprefix("torch.")
json.dump(config, open(sys.argv[2] + "/config.json", "w"))
"""
    )
    run_python(code, published, folder)
    return folder


def told(outcome: Outcome, model: str) -> dict[str, str]:
    """What each failing check says, one text a check."""
    texts: dict[str, str] = {}
    for check in outcome.model(model)["checks"]:
        if check["verdict"] == "fail":
            texts[check["check"]] = f"{texts.get(check['check'], '')} {check['where']} {check['message']}"
    return texts


def test_each_twin_is_really_of_its_format(twins: Twins) -> None:
    """A stand-in in plain weights would prove nothing about converting."""
    fp8, gptq = (inspect(twins[model]) for model in list(RECIPES)[:2])

    assert sum(tensor.dtype == "F8_E4M3" for tensor in fp8.tensors.values()) == 28
    assert sum(name.endswith(".qweight") for name in gptq.tensors) == 28


@pytest.mark.slow
def test_each_trained_twin_is_really_of_its_format(twins: Twins) -> None:
    """Nor about fusing and adapting."""
    from npu_conformance.checkpoints.load import load_tensor
    from npu_conformance.conversion.ternary import is_ternary

    ternary = inspect(twins["BitCPM4-CANN-1B"])
    linear = [name for name in ternary.tensors if name.endswith("_proj.weight")]
    adapter = json.loads((twins["Qwen3.5-4B-Condenser"] / "adapter_config.json").read_text())

    assert ternary.files[0].name == "pytorch_model.bin"
    assert len(linear) == 28
    assert all(is_ternary(load_tensor(ternary, name), 128) for name in linear)
    assert (adapter["peft_type"], adapter["r"]) == ("LORA", 16)


CONVERSIONS = {
    "scale blocks transposed": (
        "Qwen3-4B-FP8",
        "plain = fp8(weight, scale.T) if 'q_proj' in name else plain",
        "transposed",
    ),
    "one block's scale taken as 1": (
        "Qwen3-4B-FP8",
        "scale = scale.clone(); scale[0, 1] = 1; plain = fp8(weight, scale) if '2.mlp.down_proj' in name else plain",
        "no scale had been applied in 1 of 12 scale blocks",
    ),
    "zero point off by one": ("Qwen3-1.7B-GPTQ-Int8-FP16", "plain = gptq(qweight, scales, zero=127)", "zero point"),
    "group size wrong": ("Qwen3-1.7B-GPTQ-Int8-FP16", "plain = gptq(qweight, scales, group=256)", "group size"),
    "signed view of unsigned codes": (
        "Qwen3-1.7B-GPTQ-Int8-FP16",
        "plain = gptq(qweight, scales, signed=True)",
        "signed",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", CONVERSIONS)
def test_a_faulty_conversion_is_named(twins: Twins, tmp_path: Path, fault: str) -> None:
    """The reference reads the published checkpoint, whatever became of it on the way to the engine."""
    model, change, cause = CONVERSIONS[fault]
    folder = converted(twins[model], tmp_path / "weights", change)
    failing = told(judged(model, tmp_path / "reports", "--candidate-weights", str(folder)), model)

    assert cause in failing["checkpoint_weights"]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["Qwen3-4B-FP8", "Qwen3-1.7B-GPTQ-Int8-FP16"])
def test_a_right_conversion_by_other_code_passes(twins: Twins, tmp_path: Path, model: str) -> None:
    """It is the faults above that fail, not that somebody else converted."""
    folder = converted(twins[model], tmp_path / "weights", "")
    outcome = judged(model, tmp_path / "reports", "--candidate-weights", str(folder))

    assert outcome.status == 0, outcome.output


@pytest.mark.slow
def test_a_conversion_to_nonsense_is_caught_though_candidate_and_reference_agree(
    twins: Twins, own_configs: Path, tmp_path: Path
) -> None:
    """Codes viewed as signed, published as a model: full agreement, answers of nothing, and the cause by name."""
    weights = tmp_path / "models" / "org" / "Nonsense"
    weights.parent.mkdir(parents=True)
    converted(twins["Qwen3-1.7B-GPTQ-Int8-FP16"], weights, "plain = gptq(qweight, scales, signed=True)")
    (own_configs / "Nonsense.yaml").write_text(
        "model: org/Nonsense\nserve: {dtype: float16}\nprompts: [general]\nenvs: {VLLM_CPU_KVCACHE_SPACE: '1'}\n"
    )
    words = ("-o", f"model_configs={own_configs}", "--models-root", str(tmp_path / "models"), "-k", "Nonsense-base")
    outcome = judge(tmp_path / "reports", *words)
    failing = told(outcome, "Nonsense")

    assert {"expected_substrings", "checkpoint_weights"} <= set(failing)
    assert "token_agreement" not in failing
    assert "unsigned codes read as signed without their zero point" in failing["checkpoint_weights"]


def adapter(published: Path, folder: Path, *, zero: bool = False, doubled: bool = False) -> Path:
    """The adapter with its matrices B next to zero, or its scale doubled."""
    shutil.copytree(published, folder)
    if zero:
        file = folder / "adapter_model.safetensors"
        # Not to nothing: an adapter of zeros is refused before any engine.
        smaller = "{k: v * (1e-6 if 'lora_B' in k else 1) for k, v in t.items()}"
        code = f"t = load_file(sys.argv[1]); save_file({smaller}, sys.argv[1])"
        run_python(code, file)
    if doubled:
        path = folder / "adapter_config.json"
        config = json.loads(path.read_text())
        path.write_text(json.dumps(config | {"lora_alpha": 2 * config["lora_alpha"]}))
    return folder


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        pytest.param({"zero": True}, "the adapter is not applied", id="not applied"),
        pytest.param({"doubled": True}, "applied twice", id="scale doubled"),
    ],
)
@pytest.mark.slow
def test_an_adapter_fault_is_named(twins: Twins, tmp_path: Path, change: dict[str, bool], cause: str) -> None:
    """As an engine that serves the base model in silence, or scales twice."""
    model = "Qwen3.5-4B-Condenser"
    folder = adapter(twins[model], tmp_path / "adapter", **change)
    failing = told(judged(model, tmp_path / "reports", "--candidate-adapter", str(folder)), model)

    assert cause in failing["adapter_effect"]


def ternary_scale_lost(weights: Path) -> None:
    """Only the signs are left."""
    file = weights / "pytorch_model.bin"
    code = (
        "t = torch.load(sys.argv[1], weights_only=True)\n"
        "torch.save({k: v.sign() if k.endswith('_proj.weight') else v for k, v in t.items()}, sys.argv[1])"
    )
    run_python(code, file)


def begin_twice(weights: Path) -> None:
    """The chat template writes the first token, and writes it again."""
    template = weights / "chat_template.jinja"
    template.write_text("<|im_start|>" + template.read_text(encoding="utf-8"), encoding="utf-8")


LOADING: dict[str, tuple[str, Callable[[Path], None], str, str]] = {
    "ternary scale lost": ("BitCPM4-CANN-1B", ternary_scale_lost, "checkpoint_weights", "scale"),
    "first token twice": ("Qwen3Guard-Gen-4B", begin_twice, "prompt_tokens", "stands twice"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", LOADING)
def test_a_loading_fault_is_named(twins: Twins, tmp_path: Path, fault: str) -> None:
    """By the check whose property it breaks."""
    model, change, check, cause = LOADING[fault]
    folder = Path(shutil.copytree(twins[model], tmp_path / "weights"))
    change(folder)
    failing = told(judged(model, tmp_path / "reports", "--candidate-weights", str(folder)), model)

    assert cause in failing[check]
