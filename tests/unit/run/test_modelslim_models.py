"""Models that ModelSlim quantised: whose weights are the reference's, and where they can run."""

import dataclasses
from pathlib import Path

import pytest

from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.workers.progress import Narrator


def test_the_reference_of_a_stored_twin_is_its_original(own_configs: Path, tmp_path: Path) -> None:
    """Where the model has an original too; else both read the same codes."""
    text = "model: org/Codes\ntwin: qwen3-modelslim\n"
    (own_configs / "Codes.yaml").write_text(text)
    (own_configs / "Against.yaml").write_text(f"{text}scheme: w8a8\nreference: {{model: org/Original}}\n")
    own = Session(Settings(configs=own_configs, twin=True), tmp_path, Narrator())

    same, other = own.subject("Codes"), own.subject("Against")

    assert same.reference == same.candidate == other.candidate
    assert other.candidate is not None
    assert [path.name.rpartition("-")[0] for path in (other.candidate, other.reference)] == [
        "qwen3-modelslim",
        "qwen3-guard",
    ]


@pytest.mark.parametrize(("platform", "runs"), [("npu", True), ("cpu", False), ("cuda", False)])
def test_ascends_quantisation_needs_its_npus(
    own_configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, runs: bool
) -> None:
    """Before an engine starts; transformers, which is no vLLM, computes with the codes anywhere."""
    monkeypatch.setattr("npu_conformance.run.lacking.find_devices", lambda _: (platform, 1))
    (own_configs / "Codes.yaml").write_text(
        "model: org/Codes\nscheme: w8a8\nreference: {model: org/Original}\nserve: {quantization: ascend}\n"
        "twin: qwen3-modelslim\n"
    )
    settings = Settings(configs=own_configs, twin=True)
    own = Session(settings, tmp_path, Narrator())
    transformers = Session(dataclasses.replace(settings, candidate="transformers"), tmp_path, Narrator())

    why = own.why_not("Codes", "base")

    assert runs == (why is None)
    assert runs or f"which needs NPUs, and this platform is {platform}: --candidate transformers" in (why or "")
    assert transformers.why_not("Codes", "base") is None
