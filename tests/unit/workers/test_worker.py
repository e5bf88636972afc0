"""What a job's process leaves behind where it fails."""

import os
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
def test_the_first_error_of_a_failed_import_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: Exception, remedy: str
) -> None:
    """Transformers names only the class that it could not import. Where an environment is wrong, the remedy follows."""
    failed = ModuleNotFoundError("Could not import module 'Qwen3ForCausalLM'")
    failed.__cause__ = first

    told = refusal(tmp_path, monkeypatch, failed)
    assert told.startswith(f"{type(first).__name__}: {first}; ")
    assert remedy in told


def test_of_other_errors_the_last_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what was being done; what it came from is in the log."""
    failed = RuntimeError("Engine core initialization failed")
    failed.__cause__ = KeyError("model.layers.0")

    assert refusal(tmp_path, monkeypatch, failed).startswith("RuntimeError: Engine core initialization failed; log: ")


@pytest.mark.parametrize("importable", [True, False])
def test_one_ahead_of_its_job_gets_ready_and_waits_for_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, importable: bool
) -> None:
    """Without accelerators' plugins, as the job's kind wants it. What it cannot import, the job itself will say."""
    told: list[str] = []

    def get_ready() -> None:
        assert not (tmp_path / "job.json").exists()
        told.append("ready")
        if not importable:
            raise ModuleNotFoundError("No module named 'torch'")

    def readline() -> bytes:
        told.append("asked")
        (tmp_path / "job.json").write_text(
            TwinJob(output=tmp_path / "twin", recipe="qwen3-guard", prompts_dir=tmp_path).model_dump_json()
        )
        return b"\n"

    stdin = os.open(tmp_path, os.O_RDONLY)
    room = SimpleNamespace(get_ready=get_ready, run=lambda *_: told.append("done"))
    monkeypatch.setattr(worker, "import_module", lambda _: room)
    monkeypatch.setattr(worker, "_die_with_parent", lambda: None)
    monkeypatch.setattr(worker, "stay_on_host", lambda: told.append("on the host"))
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=SimpleNamespace(readline=readline), fileno=lambda: stdin))

    assert worker.main(tmp_path, "reference") == 0
    assert told == ["on the host", "ready", "asked", "on the host", "done"]
    assert os.fstat(stdin).st_rdev == Path(os.devnull).stat().st_rdev  # who would ask a user is told at once
    os.close(stdin)


def refusal(place: Path, monkeypatch: pytest.MonkeyPatch, failed: Exception) -> str:
    """What a worker says of a job that raises this."""

    def run(*_: object) -> None:
        raise failed

    job = TwinJob(output=place / "twin", recipe="qwen3-guard", prompts_dir=place)
    (place / "job.json").write_text(job.model_dump_json())
    monkeypatch.setattr(worker, "import_module", lambda _: SimpleNamespace(run=run))
    monkeypatch.setattr(worker, "_die_with_parent", lambda: None)
    monkeypatch.setattr(worker, "stay_on_host", lambda: None)
    assert worker.main(place) == 3
    told = (place / "refusal.txt").read_text()
    assert told.endswith(f"; log: {place / 'log.txt'}")
    return told
