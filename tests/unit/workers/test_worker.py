"""What a job's process leaves behind where it fails."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from npu_conformance.workers import worker
from npu_conformance.workers.job import TwinJob


def test_the_first_error_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Transformers names only the class that it could not import; a torchvision for another torch has a remedy."""
    first = RuntimeError("operator torchvision::nms does not exist")

    def run(*_: object) -> None:
        raise ModuleNotFoundError("Could not import module 'Qwen3ForCausalLM'") from first

    job = TwinJob(output=tmp_path / "twin", recipe="qwen3-guard", prompts_dir=tmp_path)
    (tmp_path / "job.json").write_text(job.model_dump_json())
    monkeypatch.setattr(worker, "import_module", lambda _: SimpleNamespace(run=run))
    monkeypatch.setattr(worker, "_die_with_parent", lambda: None)
    monkeypatch.setattr(worker, "stay_on_host", lambda: None)

    assert worker.main(tmp_path) == 3
    assert (tmp_path / "refusal.txt").read_text() == (
        "RuntimeError: operator torchvision::nms does not exist; torchvision here was built for another torch, and "
        "transformers imports no model beside it: remove it by `pip uninstall torchvision`, or install the build that "
        f"fits; log: {tmp_path / 'log.txt'}"
    )
