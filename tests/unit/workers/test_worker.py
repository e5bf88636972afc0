"""What a job's process leaves behind where it fails."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from npu_conformance.workers import worker
from npu_conformance.workers.job import TwinJob


@pytest.mark.parametrize(
    ("first", "remedy"),
    [
        (RuntimeError("operator torchvision::nms does not exist"), "remove it by `pip uninstall torchvision`"),
        (ModuleNotFoundError("No module named 'torch'"), "install the suite where vLLM is"),
        (OSError("no space left"), ""),
    ],
)
def test_the_first_error_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: Exception, remedy: str
) -> None:
    """Transformers names only the class that it could not import. Where an environment is wrong, the remedy follows."""

    def run(*_: object) -> None:
        raise ModuleNotFoundError("Could not import module 'Qwen3ForCausalLM'") from first

    job = TwinJob(output=tmp_path / "twin", recipe="qwen3-guard", prompts_dir=tmp_path)
    (tmp_path / "job.json").write_text(job.model_dump_json())
    monkeypatch.setattr(worker, "import_module", lambda _: SimpleNamespace(run=run))
    monkeypatch.setattr(worker, "_die_with_parent", lambda: None)
    monkeypatch.setattr(worker, "stay_on_host", lambda: None)

    assert worker.main(tmp_path) == 3
    told = (tmp_path / "refusal.txt").read_text()
    assert told.startswith(f"{type(first).__name__}: {first}; ")
    assert told.endswith(f"; log: {tmp_path / 'log.txt'}")
    assert remedy in told
