"""Published reports: the shipped files hold what was printed, and a broken one is said in a line."""

import json
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.baselines.published import Published, load_published
from npu_conformance.errors import ConfigError
from npu_conformance.report.published import quantity_text
from tests.unit.helpers.suite_runs import ROOT

MODELS = sorted(path.parent.name for path in (ROOT / "baselines").glob("*/published.json"))


def load(model: str) -> Published:
    """The shipped file of a model."""
    published = load_published(ROOT / "baselines", model)
    assert published is not None
    return published


def value(model: str, name: str) -> tuple[str, int | None]:
    """A printed quantity of a shipped file as text, and the cases it rests on."""
    published = load(model)
    quantity = {**published.figures, **published.timings, **published.weights}[name]
    return quantity_text(quantity), quantity.n


def test_there_is_a_file_for_each_report() -> None:
    """Five are shipped."""
    assert MODELS == [
        "BitCPM4-CANN-1B",
        "Qwen3-1.7B-GPTQ-Int8-FP16",
        "Qwen3-4B-FP8",
        "Qwen3.5-4B-Condenser",
        "Qwen3Guard-Gen-4B",
    ]


def test_the_guard_report() -> None:
    """Metrics, first tokens, labels and load times."""
    name = "Qwen3Guard-Gen-4B"
    published = load(name)

    assert value(name, "token_agreement") == ("100 %", 7)
    assert published.figures["cosine_mean"].value == 0.999911
    assert published.figures["cosine_min"].value == 0.999846
    assert published.figures["pearson_mean"].value == 0.999907
    assert value(name, "relative_l2_mean") == ("1.3 %", 7)
    assert value(name, "relative_l2_max") == ("1.81 %", 7)
    assert published.figures["kl_mean"].value == 0.00063
    assert (published.figures["max_abs_diff"].value, published.figures["mean_abs_diff"].value) == (0.224, 0.03)
    assert published.figures["cosine_mean"].criterion == "≥0.999"
    assert value(name, "weights_load") == ("15.3 s", None)
    first, labelled = published.prompts[:7], published.prompts[7:]
    assert [prompt.candidate_first for prompt in first] == ["Also", "The", "Use", "What", "The", "What", "Also"]
    assert [prompt.cosine for prompt in first][3:5] == [0.999971, 0.999942]
    assert [prompt.relative_l2 for prompt in first][3:5] == [0.0079, 0.0103]
    assert [prompt.candidate_label for prompt in labelled] == (
        ["Unsafe (Violent)", *["Unsafe (Non-violent)"] * 2, *["Safe (None)"] * 4]
    )
    assert published.hardware["reference"] == "AMD EPYC, FP32 推理 (全精度基线)"


def test_the_condenser_report() -> None:
    """Bounds stay bounds; both runs of the determinism test are kept, which the report calls equal."""
    name = "Qwen3.5-4B-Condenser"
    published = load(name)

    assert value(name, "cosine_mean") == ("> 0.999", None)
    assert value(name, "relative_l2_mean") == ("< 0.5 %", None)
    assert value(name, "greedy_determinism") == ("100 %", 5)
    assert published.versions["CANN"] == "8.5.1"
    assert [prompt.expected for prompt in published.prompts] == ["Paris", "42", "water", "print", "Jupiter"]
    assert published.prompts[0].answers[0] == "Paris.\nA. True\nB. False\nAnswer:\nA"
    different = [prompt.expected for prompt in published.prompts if len(set(prompt.answers)) > 1]
    assert different == ["water", "Jupiter"]


def test_the_fp8_report() -> None:
    """Throughput, latencies and what is said of the conversion."""
    name = "Qwen3-4B-FP8"

    assert value(name, "tokens_per_second") == ("58.4 tokens/s", None)
    assert value(name, "latency_p50") == ("~ 210 ms", None)
    assert value(name, "latency_p99") == ("~ 500 ms", None)
    assert value(name, "milliseconds_per_token") == ("17.1 ms", None)
    assert value(name, "precision_loss") == ("< 0.1 %", None)
    assert value(name, "precision_loss_of_scales") == ("< 0.05 %", None)
    prompt = load(name).prompts[0]
    assert (prompt.tokens, prompt.seconds) == (128, 2.21)
    assert len(prompt.answers) == 2


def test_the_gptq_report() -> None:
    """First tokens, layers' norms, statistics of the weights."""
    name = "Qwen3-1.7B-GPTQ-Int8-FP16"
    published = load(name)

    assert value(name, "token_agreement") == ("100 %", 5)
    assert value(name, "mean_squared_error") == ("< 1e-05", None)
    assert value(name, "tokens_per_second") == ("~ 50 tokens/s", None)
    assert value(name, "scale") == ("0.00016 … 0.00515", None)
    assert value(name, "prompt_tokens") == ("7 … 11 tokens", None)
    assert value(name, "operator_norm") == ("28.01", None)
    assert {layer.layer: layer.norm for layer in published.layers} == (
        {0: 1.45, 1: 153.72, 5: 2399.63, 10: 3166.8, 20: 11301.76, 27: 54710.95, 28: 125.59}
    )
    assert published.prompts[2].text == "Q: What is 2+2?\nA:"
    assert [prompt.candidate_first for prompt in published.prompts] == ["<|endoftext|>"] * 3 + ["t (id=83)"] * 2
    assert published.versions["vLLM-Ascend"] == "0.18.0rc1"


def test_the_bitcpm_report() -> None:
    """The comparison with the CPU, speeds, and a config.json that does not fit its weights."""
    name = "BitCPM4-CANN-1B"
    published = load(name)

    assert value(name, "tokens_per_second") == ("71.34 tokens/s", 336)
    assert value(name, "milliseconds_per_token") == ("14.02 ms", 336)
    assert value(name, "engine_start") == ("29.6 s", None)
    assert value(name, "kv_cache") == ("1820800 tokens", None)
    assert sum(prompt.tokens or 0 for prompt in published.prompts[:4]) == 336
    compared = [(prompt.matches, prompt.reference_seconds) for prompt in published.prompts[4:]]
    assert compared == [("48/48", 50.72), ("48/48", 50.63)]
    wrong = {key for key, said in published.config.items() if said != published.weights[key].value}
    assert wrong == {"hidden_size", "hidden_layers", "attention_heads", "intermediate_size"}
    assert "bitwise identical" in published.claims[0].text


def test_a_model_without_a_report(tmp_path: Path) -> None:
    """Most models have none."""
    assert load_published(tmp_path, "Other") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Invalid JSON"),
        ("{}", "source: Field required"),
        ('{"source": {"title": "t"}, "figurs": {}}', "figurs: "),
        ('{"source": {"title": "t"}, "figures": {"kl_mean": {"value": 1, "relation": "about"}}}', "kl_mean.relation"),
        ('{"source": {"title": "t"}, "figures": {"kl_mean": {"value": "NaN"}}}', "figures.kl_mean.value"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    """It names file and key."""
    path = tmp_path / "Model" / "published.json"
    path.parent.mkdir()
    path.write_text(text)

    with pytest.raises(ConfigError) as caught:
        load_published(tmp_path, "Model")

    assert str(path) in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_files_are_plain_json() -> None:
    """No key is given twice, of which a reader would silently keep the last."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in pairs}) == len(pairs)
        return dict(pairs)

    for model in MODELS:
        json.loads((ROOT / "baselines" / model / "published.json").read_text("utf-8"), object_pairs_hook=once)
