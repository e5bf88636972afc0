"""`npu-conformance onboard` of a LoRA: its model is asked for, and whose tokenizer counts."""

import json
from pathlib import Path

import pytest
import yaml

from npu_conformance.__main__ import main
from npu_conformance.config.model import load_config
from tests.unit.commands.test_onboard import onboarded
from tests.unit.helpers.model_files import write_model


def test_a_lora_needs_its_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And says which; with it, both stand in the config, and the twin is adapted too."""
    base, lora = write_model(tmp_path / "org" / "Base", "dense"), tmp_path / "mine" / "Lora"
    lora.mkdir(parents=True)
    (lora / "adapter_config.json").write_text(json.dumps({"r": 8, "base_model_name_or_path": "org/Base"}))
    configs = tmp_path / "configs"

    assert main(["onboard", str(lora), f"--configs={configs}"]) == 4
    assert "is a LoRA of org/Base: give that model's folder too, by --base DIR" in capsys.readouterr().err
    path = onboarded(tmp_path, lora, f"--base={base}")
    content = yaml.safe_load(path.read_text())
    assert (content["model"], content["adapter"]) == ("org/Base", "mine/Lora")
    assert load_config(path).recipe == str(path.with_suffix("") / "adapter_config.json")


@pytest.mark.parametrize("whole", [True, False])
def test_a_loras_tokenizer_counts_only_where_it_is_whole(tmp_path: Path, whole: bool) -> None:
    """Settings and a template that training left beside it are not the model's; its sampling never is."""
    base, lora = write_model(tmp_path / "org" / "Base", "dense"), tmp_path / "mine" / "Lora"
    lora.mkdir(parents=True)
    (lora / "adapter_config.json").write_text(json.dumps({"r": 8}))
    names = ("tokenizer_config.json", "chat_template.jinja", "generation_config.json")
    for folder, said in ((base, "model"), (lora, "lora")):
        for name in names:
            (folder / name).write_text(json.dumps({"chat_template": said}))
    if whole:
        (lora / "tokenizer.json").write_text("{}")

    beside = onboarded(tmp_path, lora, f"--base={base}").with_suffix("")
    found = [json.loads((beside / name).read_text())["chat_template"] for name in names]
    assert found == (["lora", "lora", "model"] if whole else ["model"] * 3)


def test_a_lora_of_a_quantised_model_has_no_twin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is trained on plain weights."""
    base, lora = write_model(tmp_path / "org" / "Base", "fp8"), tmp_path / "mine" / "Lora"
    lora.mkdir(parents=True)
    (lora / "adapter_config.json").write_text('{"r": 8}')
    path = onboarded(tmp_path, lora, f"--base={base}")

    assert "no twin: config.json is quantised (fp8), and a LoRA is trained on plain" in capsys.readouterr().out
    assert "twin" not in yaml.safe_load(path.read_text())
