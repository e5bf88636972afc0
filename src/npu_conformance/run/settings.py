"""What the command line asked for."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from npu_conformance.config.engines import DEFAULT, engine, engine_names
from npu_conformance.config.model import LONGEST_JOB, ModelConfig, config_path, load_config
from npu_conformance.config.server import check_server
from npu_conformance.config.variants import SERVING
from npu_conformance.errors import ConfigError
from npu_conformance.run.deadlines import USUAL


def add_subject_options(add: Callable[..., Any]) -> None:
    """Declare what both pytest and `bisect` are told of a model.

    Args:
        add: argparse's `add_argument` or pytest's `addoption`.
    """
    add("--twin", action="store_true", help="run trained stand-ins instead of real weights")
    add("--models-root", type=Path, metavar="DIR", help="look for weights here first, as DIR/<organisation>/<name>")
    add("--device", choices=("npu", "cuda", "cpu"), help="insist on this platform; default: what is found")
    add("--candidate-weights", type=Path, metavar="DIR", help="the candidate loads this checkpoint")
    add("--candidate-adapter", type=Path, metavar="DIR", help="the candidate loads this LoRA")
    add("--prompts", type=int, metavar="N", help="use N prompts, dealt from the model's sets")
    add("--reference-python", type=Path, metavar="PATH", help="interpreter of the reference's process")
    add("--trust-remote-code", action="store_true", help="allow models whose YAML asks for it to run their own code")
    add("--deadline", type=float, metavar="SECONDS", help="end a longer job; default: the YAML's, else its forecast's")


def add_candidate_options(add: Callable[..., Any]) -> None:
    """Declare which engine is under test, for pytest and `capture`.

    Args:
        add: argparse's `add_argument` or pytest's `addoption`.
    """
    add("--candidate", choices=engine_names(), help=f"engine under test; default: the YAML's, else {DEFAULT}")
    add("--server", metavar="URL", help="address of a candidate that is a server; its key is read from OPENAI_API_KEY")
    add("--served-model", metavar="NAME", help="the model's or the LoRA's name at that server; default: its first")


def _remote() -> list[str]:
    return [name for name in engine_names() if engine(name).remote]


@dataclass(frozen=True)
class Settings:
    """What the command line asked for."""

    configs: Path
    """Folder of model configs."""
    twin: bool = False
    twin_recipe: str | None = None
    """Of the stand-in, instead of the one that a model's YAML names."""
    models_root: Path | None = None
    candidate: str | None = None
    """Name of the engine under test; the model's own where None."""
    server: str | None = None
    """Address of an engine that is a server."""
    served_model: str | None = None
    """The model's name at that server."""
    serving: bool = False
    """Judge each model behind vLLM's server too."""
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
    baselines: Path = Path("baselines")
    """Folder of published reports and baselines."""
    baseline: Literal["create", "update", "only"] | None = None
    """Write the baseline of what passes, or judge by it only; None compares with it where there is one."""
    reason: str | None = None
    """Why a baseline is updated."""
    tokens: Path | None = None
    """Captured folder whose tokens to take instead of choosing any."""
    performance: bool = False
    """Measure the engine's speed too, also of models whose YAML does not ask for it."""
    keep_traces: bool = False
    """Keep all rows of logits, also of variants that passed."""
    part: Literal["both", "candidate", "reference"] = "both"
    """What this machine runs: where it is the reference alone, the candidate's weights need not be here."""

    def check(self) -> None:
        """Refuse what names something that is not there.

        Raises:
            ConfigError: one line that names the option.
        """
        folders = {
            "--models-root": self.models_root,
            "--candidate-weights": self.candidate_weights,
            "--candidate-adapter": self.candidate_adapter,
            "--from": self.from_dir,
            "--tokens": self.tokens,
        }
        for name, path in folders.items():
            if path is not None and not path.is_dir():
                raise ConfigError(f"{name} {path}: no such folder")
        if (python := self.reference_python) is not None and not (python.is_file() and os.access(python, os.X_OK)):
            raise ConfigError(f"--reference-python {python}: no such interpreter")
        if self.baseline == "update" and not (self.reason or "").strip():
            raise ConfigError("--baseline=update: say why with --reason=TEXT, it is kept in the baseline's history")
        name = self.candidate or DEFAULT
        if self.baseline == "only" and not engine(name).forced_decode:
            raise ConfigError(
                f"--baseline=only: {name} cannot be made to take a baseline's tokens: leave out --candidate"
            )
        self._check_server(name)
        if self.baseline in ("create", "update") and engine(name).rows != "full":
            raise ConfigError(
                f"--baseline={self.baseline}: {name} gives only the likeliest tokens of each position, a "
                "baseline is made of whole rows of logits: leave out --candidate"
            )
        if self.baseline == "only" and self.from_dir is not None:
            raise ConfigError(
                "--baseline=only: engines must be made to take the baseline's tokens: leave out --from; traces of "
                "such a run are judged so by themselves"
            )
        if self.prompts is not None and self.prompts < 1:
            raise ConfigError(f"--prompts {self.prompts}: at least 1 is needed")
        if self.deadline is not None and not 0 < self.deadline <= LONGEST_JOB:
            raise ConfigError(
                f"--deadline {self.deadline:g}: expected seconds, more than 0, at most {LONGEST_JOB} (30 days)"
            )

    def _check_server(self, name: str) -> None:
        if self.server is not None:
            check_server(self.server)
        for option, value in (("--server", self.server), ("--served-model", self.served_model)):
            if value is not None and self.candidate is not None and not engine(name).remote and not self.serving:
                raise ConfigError(
                    f"{option}: {name} is no server: add --candidate {' or '.join(_remote())}, or --serving"
                )
        if self.candidate is not None and engine(name).remote and self.server is None and self.from_dir is None:
            raise ConfigError(f"--candidate {name}: is a server: name its address, --server http://HOST:PORT")

    def load(self, model: str) -> ModelConfig:
        """A model's YAML, with the variant that this command line or the run before added (see `load_config`)."""
        config = load_config(config_path(self.configs, model))
        left = self.from_dir is not None and (self.from_dir / "traces" / model / SERVING).is_dir()
        if not (self.serving or left) or SERVING in config.variant_names:
            return config
        return config.model_copy(update={"variants": (*config.variants, SERVING)})

    def engine_of(self, config: ModelConfig) -> str:
        """Name of a model's engine under test."""
        return self.candidate or config.candidate

    def server_of(self, config: ModelConfig) -> tuple[str | None, str | None]:
        """Address of a model's engine, where it is a server, and the model's name there."""
        if not engine(self.engine_of(config)).remote:
            return None, None
        return self.server or config.server, self.served_model or config.served_model_name

    def server_for_checks(self, config: ModelConfig) -> tuple[str | None, str | None]:
        """Address of a server that runs already and that `serving` asks, and what was judged is named there.

        None where one is to be started, under the name.
        """
        return self.server or config.server, self.served_model or config.served_model_name

    @property
    def scores(self) -> bool:
        """Whether a reference is computed here."""
        return self.part != "candidate" and self.baseline != "only"

    @property
    def drops_rows(self) -> bool:
        """Whether rows that nothing asks for any more are removed when the run is over."""
        return not self.keep_traces and self.from_dir is None and self.scores

    def deadline_said(self, config: ModelConfig) -> float | None:
        """Seconds that the command line, else the model's YAML, gives a job; None where neither does."""
        return self.deadline or config.deadline

    def deadline_for(self, config: ModelConfig) -> float:
        """Seconds an engine of the model may take."""
        return self.deadline_said(config) or USUAL

    def words(self) -> list[str]:
        """The command line's words for these settings, where they differ from the default."""
        words = ["--twin"] if self.twin else []
        words += ["--performance"] if self.performance else []
        words += ["--keep-traces"] if self.keep_traces else []
        words += ["--serving"] if self.serving else []
        words += ["--trust-remote-code"] if self.trust_remote_code else []
        for option, value, default in (
            ("--models-root", self.models_root, None),
            ("--candidate", self.candidate, None),
            ("--server", self.server, None),
            ("--served-model", self.served_model, None),
            ("--device", self.device, None),
            ("--candidate-weights", self.candidate_weights, None),
            ("--candidate-adapter", self.candidate_adapter, None),
            ("--prompts", self.prompts, None),
            ("--from", self.from_dir, None),
            ("--reference-python", self.reference_python, None),
            ("--deadline", self.deadline, None),
            ("--baseline", "only" if self.baseline == "only" else None, None),
        ):
            words += [f"{option}={value}"] if value != default else []
        return words

    @property
    def prompts_dir(self) -> Path:
        """Folder of prompt sets besides the suite's own; it need not be there."""
        return self.configs / "prompts"
