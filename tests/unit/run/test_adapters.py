"""A run's and a plan's adapters: refused before any engine, or told in the report."""

from pathlib import Path

import pytest

from npu_conformance.checkpoints.inspect import examine
from npu_conformance.commands.plan.steps import model_steps
from npu_conformance.config.model import ModelConfig
from npu_conformance.errors import CheckpointError
from npu_conformance.run.preparation import adapter_findings
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.workers.progress import Narrator
from tests.unit.helpers.tiny_adapters import matrices, write_adapter
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama, write


def test_both_adapters_of_a_run_are_inspected(tmp_path: Path) -> None:
    """The subject's and the one that the candidate is given."""
    config = ModelConfig(model="org/Base")
    base = examine(write(tmp_path / "base", LLAMA, llama()))
    right = write_adapter(tmp_path / "right")
    other = write_adapter(tmp_path / "other", base_model_name_or_path="org/Other")
    wrong = write_adapter(tmp_path / "wrong", matrices(root="model.language_model."))

    assert adapter_findings(config, (right, None), base) == ()
    assert [one.about for one in adapter_findings(config, (right, other), base)] == ["other: adapter_config.json"]
    with pytest.raises(CheckpointError, match=r"wrong: .*which fits"):
        adapter_findings(config, (right, wrong), base)


def test_the_engine_s_options_count(tmp_path: Path) -> None:
    """Of as_served, whose tensor parallelism makes layers narrow."""
    config = ModelConfig.model_validate({"model": "org/Base", "serve": {"tensor_parallel_size": 8}})
    base = examine(write(tmp_path / "base", LLAMA, llama()))
    folder = write_adapter(
        tmp_path / "adapter", matrices(("self_attn.q_proj",), rank=16), r=16, target_modules=["q_proj"]
    )

    (found,) = adapter_findings(config, (folder,), base)

    assert "it is 8 wide on each of 8 devices, less than the rank 16" in found.message


@pytest.mark.parametrize("option", [False, True], ids=["adapter", "--candidate-adapter"])
def test_a_plan_refuses_what_a_run_would(own_configs: Path, tmp_path: Path, cache: Path, *, option: bool) -> None:
    """Nothing of the model is planned."""
    assert cache
    (own_configs / "Model.yaml").write_text("model: org/Base\nadapter: org/Lora\nprompts: [general]\n")
    root = tmp_path / "models"
    write(root / "org" / "Base", LLAMA, llama())
    write_adapter(root / "org" / "Lora", use_dora=not option)
    given = write_adapter(tmp_path / "given", use_dora=True) if option else None
    settings = Settings(own_configs, models_root=root, device="cpu", candidate_adapter=given)

    with pytest.raises(CheckpointError, match="use_dora is true, vLLM does not serve DoRA"):
        model_steps(Session(settings, tmp_path / "none", Narrator()), "Model", ["base"], 0)
