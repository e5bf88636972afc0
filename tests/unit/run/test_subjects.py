"""Which weights of a twin are loaded: its own, or those that are converted first."""

from pathlib import Path
from typing import Any

import pytest

from npu_conformance.__main__ import main
from npu_conformance.run.settings import Settings
from npu_conformance.run.subjects import find_subject
from tests.unit.helpers.model_files import CONFIGS, write_model


@pytest.mark.parametrize(
    ("kind", "changed", "converted"),
    [
        ("gptq", {}, True),
        ("gptq-int4", {}, False),
        ("mixture", {"quantization_config": CONFIGS["fp8"]["quantization_config"]}, False),
        ("sinks", {"quantization_config": {"quant_method": "mxfp4"}}, False),
    ],
)
def test_plain_weights_of_a_derived_twin_are_not_converted(
    tmp_path: Path, kind: str, changed: dict[str, Any], *, converted: bool
) -> None:
    """Though the model's own are quantised, and its YAML says so."""
    configs = tmp_path / "configs"
    folder = write_model(tmp_path / "models" / "org" / "Model", kind, **changed)
    assert main(["onboard", str(folder), f"--configs={configs}"]) == 0
    settings = Settings(configs=configs, twin=True)
    config = settings.load("Model")
    subject = find_subject("Model", config, settings)

    assert config.convert == "bfloat16"
    assert (subject.candidate is None) is converted
    assert subject.reference.name.startswith("derived-Model-")
