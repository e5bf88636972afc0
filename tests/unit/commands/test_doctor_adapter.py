"""What doctor says of an adapter's folder, and of a model's adapter."""

import json
from pathlib import Path

import pytest

from npu_conformance.__main__ import main
from npu_conformance.errors import ConformanceError
from tests.unit.helpers.tiny_adapters import matrices, write_adapter
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama, write

Captured = pytest.CaptureFixture[str]


def test_a_right_adapter(tmp_path: Path, capsys: Captured) -> None:
    """Without its base model that is said; with it nothing is."""
    folder = str(write_adapter(tmp_path / "adapter"))

    assert main(["doctor", folder]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "note: base model: not at hand, so that modules and shapes were not checked",
        f"{folder}: nothing wrong in adapter_config.json and the matrices of 8 modules",
    ]

    write(tmp_path / "models" / "org" / "Base", LLAMA, llama())
    assert main(["doctor", folder, "--models-root", str(tmp_path / "models")]) == 0
    assert "base model" not in capsys.readouterr().out


def test_a_wrong_adapter_as_json(tmp_path: Path, capsys: Captured) -> None:
    """Each finding with its remedy; one that cannot be read is a finding too."""
    folder = write_adapter(tmp_path / "adapter", use_dora=True)
    assert main(["doctor", str(folder), "--json"]) == 1
    (area,) = json.loads(capsys.readouterr().out)["areas"]
    assert area["facts"] == {"folder": str(folder), "modules": "8", "ranks": "8"}
    assert area["findings"][0] == {
        "level": "error",
        "found": "adapter_config.json: use_dora is true, vLLM does not serve DoRA",
        "expected": "an adapter that vLLM and PEFT apply alike",
        "remedy": "merge the adapter into its base model (PEFT's merge_and_unload) and serve that",
    }

    (folder / "adapter_model.safetensors").unlink()
    assert main(["doctor", str(folder), "--json"]) == 1
    assert "no weights here" in capsys.readouterr().out


def test_a_folder_of_a_trainer(tmp_path: Path, capsys: Captured) -> None:
    """With the base model's config.json in it, and the trainer's own files."""
    folder = write_adapter(tmp_path / "adapter", use_dora=True)
    (folder / "config.json").write_text("{}")
    (folder / "training_args.bin").write_bytes(b"x")

    assert main(["doctor", str(folder)]) == 1
    assert "use_dora is true" in capsys.readouterr().out


def test_a_lora_inside_a_models_folder(tmp_path: Path, capsys: Captured) -> None:
    """Transformers would add it to the reference, and vLLM not to the engine."""
    folder = write(tmp_path / "model", LLAMA, llama())
    main(["doctor", str(folder)])
    assert "LoRA" not in capsys.readouterr().out

    (folder / "adapter_config.json").write_text("{}")
    main(["doctor", str(folder)])
    assert "warning: adapter_config.json: a LoRA lies beside the weights" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--fix-config", "--digests"])
def test_options_of_checkpoints_are_refused(tmp_path: Path, option: str, capsys: Captured) -> None:
    """An adapter has no config.json."""
    try:
        status = main(["doctor", str(write_adapter(tmp_path / "adapter")), option])
    except ConformanceError as error:
        status, told = 4, str(error)
    else:
        told = capsys.readouterr().err

    assert status == 4
    assert f"{option}: goes with a checkpoint folder" in told


def test_a_models_adapter(own_configs: Path, tmp_path: Path, cache: Path, capsys: Captured) -> None:
    """Beside the weights it is served on: a prefix that fits another class of the model."""
    assert cache
    (own_configs / "Model.yaml").write_text("model: org/Base\nadapter: org/Lora\nserve: {tensor_parallel_size: 1}\n")
    write(tmp_path / "org" / "Base", LLAMA, llama(root="model.language_model."))
    write_adapter(tmp_path / "org" / "Lora", matrices())
    words = ["doctor", "Model", "--configs", str(own_configs), "--models-root", str(tmp_path), "--device", "cpu"]

    assert main([*words, "--reports", str(tmp_path / "r"), "--json"]) == 1
    areas = {area["name"]: area for area in json.loads(capsys.readouterr().out)["areas"]}
    assert areas["adapter"]["facts"]["ranks"] == "8"
    assert "rename the adapter's tensors from base_model.model.model. to" in areas["adapter"]["findings"][0]["remedy"]
