"""`doctor` by the command line: what is taken, what is printed, and the exit status."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.__main__ import main
from npu_conformance.commands.doctor.findings import Area, Diagnosis, Finding
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama, write


def test_facts_and_sum_are_printed(
    own_configs: Path, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command line, of this machine: areas, what is in them, and one line of sum at the end."""
    assert cache
    (own_configs / "Model.yaml").write_text("model: org/Model\nserve: {tensor_parallel_size: 1}\n")
    folder = write(tmp_path / "models" / "org" / "Model", LLAMA, llama())
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    words = ["doctor", "Model", "--configs", str(own_configs), "--models-root", str(tmp_path / "models")]

    assert main([*words, "--device", "cpu", "--reports", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = [line for line in lines if not line.startswith(" ")]
    assert heads[:-1] == ["machine", "versions", "environment", "model", "weights", "format", "a run"]
    assert heads[-1].startswith("Model on this machine: 0 errors, ")
    assert f"  folder: {tmp_path / 'models' / 'org' / 'Model'}" in lines
    assert not list(tmp_path.glob("doctor*"))


def test_torch_is_not_imported(own_configs: Path) -> None:
    """Versions come from metadata: a process that has torch_npu loaded may hold a device."""
    code = (
        "import sys; from npu_conformance.__main__ import main; "
        f"main(['doctor', '--device', 'cpu', '--configs', {str(own_configs)!r}]); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'torch_npu', 'vllm', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_json_is_one_object(own_configs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its schema's version, the status it ends with, and every finding whole; also of a folder."""
    (own_configs / "Model.yaml").write_text("model: org/Model\n")
    words = ["doctor", "Model", "--json", "--configs", str(own_configs), "--device", "cpu"]
    assert main([*words, "--reports", str(tmp_path)]) == 1

    found = json.loads(capsys.readouterr().out)
    assert (found["schema_version"], found["target"], found["status"]) == (1, "Model on this machine", 1)
    assert found["counts"]["error"] >= 1
    weights = next(area for area in found["areas"] if area["name"] == "weights")
    assert weights["facts"] == {"model": "org/Model"}
    assert [set(finding) for finding in weights["findings"]] == [{"level", "found", "expected", "remedy"}]
    assert set(found["areas"][0]["facts"]) >= {"platform", "memory", "cache"}

    folder = write(tmp_path / "folder", LLAMA | {"hidden_size": 80}, llama())
    assert main(["doctor", str(folder), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [area["name"] for area in found["areas"]] == ["checkpoint"]
    assert "--fix-config" in found["areas"][0]["findings"][0]["remedy"]


def test_every_finding_of_a_model_says_what_to_do(
    own_configs: Path, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its own field; here of a reference that does not fit."""
    assert cache
    monkeypatch.setattr("npu_conformance.run.cost.free_memory", lambda: 1)
    (own_configs / "Model.yaml").write_text("model: org/Model\nserve: {max_model_len: 512}\n")
    folder = write(tmp_path / "models" / "org" / "Model", LLAMA, llama())
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    words = ["doctor", "Model", "--json", "--configs", str(own_configs), "--models-root", str(tmp_path / "models")]
    assert main([*words, "--device", "cpu", "--reports", str(tmp_path)]) == 1

    areas = {area["name"]: area["findings"] for area in json.loads(capsys.readouterr().out)["areas"]}
    assert areas["a run"][0]["found"].endswith("GiB are free here")
    assert areas["a run"][0]["remedy"] == "free some, or compute the reference on a larger machine"


@pytest.mark.parametrize(("level", "plain", "strict"), [("error", 1, 1), ("warning", 0, 1), ("note", 0, 0)])
def test_the_exit_status(level: Any, plain: int, strict: int) -> None:
    """Warnings fail only when they are to."""
    found = Diagnosis("x", (Area("a", {}, (Finding(level, "f", "e", "r"),)), Area("b")))

    assert (found.status(strict=False), found.status(strict=True)) == (plain, strict)
    assert json.loads(found.as_json(strict=True))["status"] == strict
    assert found.lines()[:4] == ["a", f"  {level}: f", "    expected  e", "    remedy    r"]
    assert found.lines()[4:-1] == ["b", "  nothing to report"]


def test_strict_reaches_a_folder(tmp_path: Path) -> None:
    """Its warnings fail only then; without any it stays 0."""
    write(tmp_path, LLAMA, llama())
    assert main(["doctor", str(tmp_path), "--strict"]) == 0

    write(tmp_path, LLAMA, llama() | {"model.layers.0.mlp.gate_proj.weight": ("I32", (96, 64))})
    (tmp_path / "quantize_config.json").write_text("{}")
    assert main(["doctor", str(tmp_path)]) == 0
    assert main(["doctor", str(tmp_path), "--strict"]) == 1


def test_errors_come_first() -> None:
    """In an area's lines."""
    levels = ("note", "error", "warning", "error")
    area = Area("x", {}, tuple(Finding(level, level, "y", "z") for level in levels))  # type: ignore[arg-type]

    assert [finding.level for finding in area.sorted_findings] == ["error", "error", "warning", "note"]


def test_an_unknown_name_is_a_wrong_config(own_configs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """4, with the name that was meant; a broken config too."""
    (own_configs / "Model.yaml").write_text("model: org/Model\n")
    (own_configs / "Broken.yaml").write_text("modell: org/Model\n")

    assert main(["doctor", "Modle", "--configs", str(own_configs)]) == 4
    assert "Modle: neither a checkpoint folder nor a config in" in (told := capsys.readouterr().err)
    assert "did you mean 'Model'?" in told
    assert main(["doctor", "Broken", "--configs", str(own_configs)]) == 4


def test_what_was_taken_is_said(
    own_configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, so that JSON stays JSON; nothing where only one could be meant."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "Model", LLAMA, llama())
    assert main(["doctor", "Model", "--configs", str(own_configs)]) == 0
    assert capsys.readouterr().err == ""
    (own_configs / "Model.yaml").write_text("model: org/Model\n")
    assert main(["doctor", "Model", "--configs", str(own_configs), "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == f"Model: taken as the checkpoint folder, not as {own_configs / 'Model.yaml'}\n"
    assert json.loads(out)["target"] == "Model"
