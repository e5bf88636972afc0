"""`npu-conformance onboard`: from a model's files to a config that passes `check`."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from npu_conformance.__main__ import main
from npu_conformance.config.model import load_config
from tests.unit.helpers.model_files import CONFIGS, write_model

DERIVED = set(CONFIGS) - {"modelslim", "seeing", "own-code"}


def onboarded(tmp_path: Path, target: Path, *words: str) -> Path:
    """The config that is written; it passes `check`."""
    configs = tmp_path / "configs"
    assert main(["onboard", str(target), f"--configs={configs}", *words]) == 0
    assert main(["check", "--configs", str(configs)]) == 0
    (path,) = configs.glob("*.yaml")
    return path


@pytest.mark.parametrize("kind", sorted(CONFIGS))
def test_every_kind_of_model_passes_check(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its twin is derived from its own config.json where that can be; where not, the config says why."""
    path = onboarded(tmp_path, write_model(tmp_path / "org" / "Model", kind))
    told = capsys.readouterr().out

    content = yaml.safe_load(path.read_text())
    assert content["model"] == "org/Model"
    assert content["serve"]["dtype"] == "bfloat16"
    assert (content.get("twin") == "derived") is (kind in DERIVED)
    beside = path.with_suffix("")
    assert beside.is_dir() is (kind in DERIVED)
    if kind in DERIVED:
        assert load_config(path).recipe == str(beside / "config.json")
        assert "npu-conformance run --twin Model " in told
    if kind == "own-code":
        assert "no twin: config.json is of the class telechat, which transformers " in told
        assert "# trust_remote_code: true" in path.read_text()
    assert all(len(line) <= 140 for line in path.read_text().splitlines())


def test_variants_are_those_that_the_model_needs(tmp_path: Path) -> None:
    """By its layers."""
    expected = {
        "dense": ["graph", "prefix_caching", "chunked_prefill", "tp2"],
        "mixture": ["graph", "prefix_caching", "chunked_prefill", "tp2", "ep"],
        "linear": ["graph", "chunked_prefill", "long_prompt", "tp2", "ep"],
        "sliding": ["graph", "prefix_caching", "chunked_prefill", "long_prompt", "tp2"],
    }
    for kind, variants in expected.items():
        path = onboarded(tmp_path / kind, write_model(tmp_path / "org" / kind, kind))
        assert yaml.safe_load(path.read_text())["variants"] == variants


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"model_type": "qwen3", "num_hidden_layers": "many"}, "cannot be read by transformers "),
        (
            {
                "model_type": "phi3",
                "original_max_position_embeddings": 4096,
                "rope_scaling": {"type": "longrope", "short_factor": [1.0] * 64, "long_factor": [2.0] * 64},
            },
            "cannot be made small by transformers ",
        ),
        (
            {"model_type": "jamba", "attn_layer_period": 8, "attn_layer_offset": 4, "mamba_d_state": 16},
            "has layers that a small model would lack (",
        ),
    ],
)
def test_a_twin_that_cannot_be_made_is_told_of_at_once(
    tmp_path: Path, changed: dict[str, Any], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, and the config passes `check` without a twin."""
    path = onboarded(tmp_path, write_model(tmp_path / "org" / "Model", "tied", **changed))
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("no twin: ")]

    assert len(said) == 1
    assert told in said[0]
    assert said[0].endswith("no twin can be derived")
    assert "twin" not in yaml.safe_load(path.read_text())
    assert not path.with_suffix("").exists()
    if changed["model_type"] == "jamba":
        assert "long_prompt" in yaml.safe_load(path.read_text())["variants"]


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("gptq", {"convert": "bfloat16"}),
        ("awq", {"convert": "bfloat16"}),
        ("fp8", {"convert": "bfloat16"}),
        ("int8", {}),
        ("sinks", {"reference": {"attn_implementation": "eager"}}),
        ("modelslim", {"scheme": "w8a8", "reference": {"model": "org/Model"}, "twin": "qwen3-modelslim"}),
        ("seeing", {"twin": "qwen3.5"}),
    ],
)
def test_checkpoints_are_read_as_an_npu_and_the_reference_can(
    tmp_path: Path, kind: str, keys: dict[str, object]
) -> None:
    """Converted where vllm-ascend has no kernels; ModelSlim's against the unquantised original."""
    content = yaml.safe_load(onboarded(tmp_path, write_model(tmp_path / "org" / "Model-W8A8", kind)).read_text())
    if kind == "modelslim":
        assert content["serve"]["quantization"] == "ascend"
    assert {key: content.get(key) for key in ("convert", "scheme", "reference")} == {
        key: keys.get(key) for key in ("convert", "scheme", "reference")
    }
    assert content["twin"] == keys.get("twin", "derived")


def test_a_guard_gets_its_labels(tmp_path: Path) -> None:
    """By its template; no expected words, which it never says."""
    folder = write_model(tmp_path / "org" / "Guard", "dense")
    (folder / "chat_template.jinja").write_text("Reply with\nSafety: {label}\nCategories: {category}")
    content = yaml.safe_load(onboarded(tmp_path, folder).read_text())

    assert content["labels"]["pattern"].startswith("Safety: (?P<label>")
    assert content["prompts"][0] == "guard"
    assert all(one["expect"] is False for one in content["prompts"][1:])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "config.json: missing; what a model is stands in it"),
        ("{", "config.json: cannot be read as JSON"),
        ("{}", "config.json: model_type: missing; it says which class the model is of"),
    ],
)
def test_what_is_no_model_is_one_line(
    tmp_path: Path, content: str | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing is written."""
    (tmp_path / "Model").mkdir()
    if content is not None:
        (tmp_path / "Model" / "config.json").write_text(content)

    assert main(["onboard", str(tmp_path / "Model"), f"--configs={tmp_path / 'configs'}"]) == 1
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "configs").exists()


def test_missing_tokenizers_and_sampling_are_said(tmp_path: Path) -> None:
    """In the config, where they matter."""
    folder = write_model(tmp_path / "org" / "Model", "dense", tokenizer=False)
    (folder / "generation_config.json").write_text('{"do_sample": true, "repetition_penalty": 1.1}')
    text = onboarded(tmp_path, folder).read_text()

    assert "# No tokenizer is in the folder" in text
    assert "# generation_config.json asks for sampling" in text


def test_nothing_is_overwritten_and_ids_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A hub id is looked for on this machine alone."""
    write_model(tmp_path / "models" / "org" / "Model", "dense")
    words = ["onboard", "org/Model", f"--configs={tmp_path / 'configs'}"]

    assert main(words) == 4
    assert "org/Model: is not on this machine: give its folder, or --models-root DIR" in capsys.readouterr().err
    words.append(f"--models-root={tmp_path / 'models'}")
    assert main(words) == 0
    assert yaml.safe_load((tmp_path / "configs" / "Model.yaml").read_text())["model"] == "org/Model"
    assert main(words) == 4
    assert "already there, and no file is overwritten" in capsys.readouterr().err


ODD: tuple[Any, ...] = (
    True, -1, 0, 3.5, 10**30, float("inf"), float("nan"), "x", "a\nconvert: float16", "\u2028", [], [1], ["a", None],
    {"a": 1},
)  # fmt: skip
SIZES = ("layer_types", "num_experts", "sliding_window", "max_position_embeddings", "num_attention_heads")


@pytest.mark.parametrize("key", SIZES)
def test_values_of_wrong_types_are_no_sizes(tmp_path: Path, key: str) -> None:
    """They are as if they were not there; of some no twin can be derived, and the config says so."""
    for number, value in enumerate(ODD):
        folder = write_model(tmp_path / str(number) / "org" / "Model", "dense", **{key: value})
        path = onboarded(tmp_path / str(number), folder)
        content = yaml.safe_load(path.read_text())

        assert "ep" not in content["variants"] or value == 10**30
        assert "convert" not in content
        assert content["serve"]["max_model_len"] == 8192
        if "twin" not in content:
            told = (
                r"# twin: none, for config\.json (has a size that cannot be made small|cannot be read by transformers) "
            )
            assert re.search(told, path.read_text())
        assert all(len(line) <= 320 for line in path.read_text().splitlines())


def test_what_a_file_says_stays_in_its_comment(tmp_path: Path) -> None:
    """A new line in a name would begin a key of its own."""
    odd = "a\nconvert: float16\nlabels: '\u2028\"{"
    named: list[dict[str, Any]] = [{"model_type": odd}, {"quantization_config": {"quant_method": odd}}]
    for number, changed in enumerate(named):
        folder = write_model(tmp_path / str(number) / "org" / "Model", "dense", **changed)
        content = yaml.safe_load(onboarded(tmp_path / str(number), folder).read_text())
        assert content.get("convert") in (None, "bfloat16")
        assert "labels" not in content


def test_odd_tokens_and_adapters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tokens without a number are left out; a rank that is none is one line, with its file and its key."""
    folder = write_model(tmp_path / "org" / "Model", "dense")
    tokens = {"added_tokens_decoder": {"x": {"content": "no"}, "7": {"content": "a\nb\"'"}, "8": 3}}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokens))
    onboarded(tmp_path, folder)
    lora = tmp_path / "mine" / "Lora"
    lora.mkdir(parents=True)
    capsys.readouterr()
    for key in ("r", "lora_alpha"):
        for value in (None, *ODD):
            (lora / "adapter_config.json").write_text(json.dumps({key: value}))
            status = main(["onboard", str(lora), f"--configs={tmp_path / 'others'}", f"--base={folder}"])
            error = capsys.readouterr().err
            assert status == 4
            assert (
                f"ERROR: {lora / 'adapter_config.json'}: {key}: expected a whole number from 1 to 4096, found " in error
            )
            assert error.count("\n") == 1


@pytest.mark.parametrize(
    "name", ["a b", "x:y", "M\nconvert: float16", "日本", "#x", "-x", "x" * 120, "M.yaml", "prompts"]
)
def test_what_cannot_be_a_name_is_one_line(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before a file is written; --name gives another."""
    folder = write_model(tmp_path / "org" / name, "dense")
    configs = f"--configs={tmp_path / 'configs'}"

    assert main(["onboard", str(folder), configs]) == 4
    error = capsys.readouterr().err
    assert "cannot be a model's name" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "configs").exists()
    assert main(["onboard", str(folder), configs, "--name=org/Model"]) == 0


def test_a_name_by_the_path_is_asked_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It may be any folder's; one that is given is not."""
    folder = write_model(tmp_path / "org" / "Model", "dense")
    for place, words, told in (("a", [], True), ("b", ["--name=org/Other"], False)):
        onboarded(tmp_path / place, folder, *words)
        assert ("this name was read from the path" in capsys.readouterr().out) is told
