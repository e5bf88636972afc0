"""What the command line asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Settings:
    """What the command line asked for."""

    configs: Path
    """Folder of model configs."""
    twin: bool = False
    models_root: Path | None = None
    candidate: Literal["vllm", "transformers"] = "vllm"
    device: Literal["npu", "cuda", "cpu"] | None = None
    candidate_weights: Path | None = None
    candidate_adapter: Path | None = None
    prompts: int | None = None
    from_dir: Path | None = None
    """Judge the traces of this report folder instead of running engines."""
    reference_python: Path | None = None
    trust_remote_code: bool = False
    deadline: float | None = None
    """Seconds a job may take; the config's own when None."""

    def words(self) -> list[str]:
        """The command line's words for these settings, where they differ from the default."""
        words = ["--twin"] if self.twin else []
        words += ["--trust-remote-code"] if self.trust_remote_code else []
        for option, value, default in (
            ("--models-root", self.models_root, None),
            ("--candidate", self.candidate, "vllm"),
            ("--device", self.device, None),
            ("--candidate-weights", self.candidate_weights, None),
            ("--candidate-adapter", self.candidate_adapter, None),
            ("--prompts", self.prompts, None),
            ("--from", self.from_dir, None),
            ("--reference-python", self.reference_python, None),
            ("--deadline", self.deadline, None),
        ):
            words += [f"{option}={value}"] if value != default else []
        return words

    @property
    def prompts_dir(self) -> Path:
        """Folder of prompt sets."""
        return self.configs / "prompts"
