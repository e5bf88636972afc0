"""config.json's rotary settings in one form only: refused where transformers does not read it, and written in both."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.__main__ import main
from npu_conformance.checkpoints.inspect import examine
from npu_conformance.checkpoints.rope_forms import older_form, unread_rope
from npu_conformance.checkpoints.subject import Subject
from npu_conformance.commands.doctor.model import Model, model_areas
from npu_conformance.config.model import ModelConfig
from npu_conformance.errors import CheckpointError
from npu_conformance.run import older_transformers
from npu_conformance.run.interpreters import Installed
from npu_conformance.run.preparation import prepare
from npu_conformance.run.settings import Settings
from npu_conformance.workers.jobs import Jobs
from npu_conformance.workers.progress import Narrator
from tests.unit.helpers.doctor_hosts import sound_host, texts
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama, write

LONG = {
    "rope_type": "longrope",
    "short_factor": [1.0],
    "long_factor": [2.0],
    "original_max_position_embeddings": 2048,
}
NEW = {"rope_theta": 1_000_000.0, "rope_type": "default"}


def checkpoint(folder: Path, rope: dict[str, Any], **more: Any) -> Path:
    """A checkpoint whose config.json transformers 5 has written."""
    folder.mkdir(exist_ok=True)
    plain = {key: value for key, value in LLAMA.items() if not key.startswith("rope")}
    write(folder, plain | {"model_type": "llama", "rope_parameters": rope, **more}, llama())
    return folder


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process has transformers 4.57, which knows llama; a checkpoint that it does not read."""
    package = tmp_path / "site-packages" / "transformers"
    tables = package / "models" / "auto"
    tables.mkdir(parents=True)
    (tables / "configuration_auto.py").write_text('NAMES = [("llama", "LlamaConfig")]')
    monkeypatch.setattr(older_transformers, "installed", lambda _=None: _has("4.57.6", package))
    return checkpoint(tmp_path / "checkpoint", NEW)


@pytest.mark.parametrize(
    ("text", "lacking"),
    [
        ({"rope_parameters": NEW}, {"rope_theta": 1_000_000.0}),
        ({"rope_parameters": NEW, "rope_theta": 1_000_000.0}, {}),
        ({"rope_theta": 1_000_000.0}, {}),
        (
            {"rope_parameters": {**LONG, "rope_theta": 1e4}, "max_position_embeddings": 8192},
            {"rope_theta": 1e4, "rope_scaling": LONG, "original_max_position_embeddings": 2048},
        ),
        (
            {"rope_parameters": {**LONG, "rope_theta": 1e4}, "max_position_embeddings": 2048, "rope_theta": 1e4},
            {"rope_scaling": LONG},
        ),
        (
            {"rope_parameters": {**NEW, "partial_rotary_factor": 0.25, "mrope_section": [3, 3, 2]}},
            {
                "rope_theta": 1_000_000.0,
                "partial_rotary_factor": 0.25,
                "rope_scaling": {"rope_type": "default", "mrope_section": [3, 3, 2]},
            },
        ),
        ({"rope_parameters": {"full_attention": NEW, "sliding_attention": NEW}}, None),
    ],
)
def test_what_the_older_form_lacks(text: dict[str, Any], lacking: dict[str, Any] | None) -> None:
    """Base, scaling, and what stands beside it; nothing where it is all there."""
    assert older_form(text) == lacking


def test_only_an_older_transformers_is_an_error(old: Path) -> None:
    """Which is named with what it lacks and what to do."""
    found = examine(old)
    assert unread_rope(found, "5.0.0", "the engine's") is None
    finding = unread_rope(found, "4.57.6", "the engine's")
    assert finding is not None
    assert finding.level == "error"
    assert "without rope_theta; transformers 4.57.6 (the engine's) does not read them" in finding.message
    assert finding.message.endswith(f"`npu-conformance doctor --fix-config {old}` writes both forms")


def test_a_folder_is_an_error_until_it_is_fixed(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--fix-config` writes both forms, keeps the old file, and is then content."""
    assert main(["doctor", str(old)]) == 1
    assert "error: config.json: gives its rotary settings under rope_parameters alone" in capsys.readouterr().out

    assert main(["doctor", str(old), "--fix-config"]) == 0
    assert "rope_theta: not there -> 1000000.0, as under rope_parameters" in capsys.readouterr().out
    content = json.loads((old / "config.json").read_text())
    assert (content["rope_theta"], content["rope_parameters"]) == (1_000_000.0, NEW)
    assert (old / "config.json.bak").is_file()
    assert main(["doctor", str(old), "--fix-config"]) == 0
    assert "nothing to fix" in capsys.readouterr().out


def test_the_language_models_part_is_fixed(old: Path) -> None:
    """Where config.json has one of its own."""
    path = old / "config.json"
    content = json.loads(path.read_text())
    path.write_text(
        json.dumps({"architectures": content["architectures"], "model_type": "llama", "text_config": content})
    )

    assert main(["doctor", str(old), "--fix-config"]) == 0
    assert json.loads(path.read_text())["text_config"]["rope_theta"] == 1_000_000.0


def test_a_model_is_an_error(old: Path, tmp_path: Path) -> None:
    """Its weights are looked at for the interpreters that will load them."""
    settings = Settings(configs=tmp_path, models_root=tmp_path)
    old.rename(tmp_path / "Old")
    areas = model_areas(
        Model("Old", tmp_path / "Old.yaml", ModelConfig(model="a/Old")), settings, sound_host(tmp_path), None
    )
    (weights,) = [area for area in areas if area.name == "weights"]

    assert any(text.startswith("error: config.json: gives its rotary settings") for text in texts(weights))


def test_a_run_refuses_before_an_engine_starts(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the reference's interpreter, and by the engine's where the reference's is newer."""
    monkeypatch.setenv("NPU_CONFORMANCE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("npu_conformance.run.preparation._scan", lambda *_: None)
    subject, jobs = Subject("Old", "real", old, old), Jobs(tmp_path, Narrator())
    package = tmp_path / "site-packages" / "transformers"
    newer = {None: _has("4.57.6", package), tmp_path / "python": _has("5.1.0", package)}
    with pytest.raises(CheckpointError, match=r"transformers 4\.57\.6 \(the reference's\) does not read"):
        prepare(ModelConfig(model="a/Old"), subject, (), tmp_path, jobs)
    monkeypatch.setattr(older_transformers, "installed", lambda python=None: newer[python])
    subject = replace(subject, python=tmp_path / "python")
    with pytest.raises(CheckpointError, match=r"transformers 4\.57\.6 \(the engine's\) does not read"):
        prepare(ModelConfig(model="a/Old"), subject, (), tmp_path, jobs)


def test_a_config_class_of_the_engines_own_is_not_judged(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine brings classes for models that its transformers does not know: those read what such a model has."""
    path = old / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "qwen3_5"}))
    assert older_transformers.too_new(examine(old), None, "the engine's") is None
    monkeypatch.setattr(older_transformers, "installed", lambda _=None: Installed({}, None))
    assert older_transformers.too_new(examine(old), None, "the engine's") is None


def _has(version: str, package: Path) -> Installed:
    return Installed({"transformers": version}, package)
