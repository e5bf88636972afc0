"""Jobs: what a worker process is asked to do, as data. One kind a module that does it."""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from npu_conformance.config.limits import Dtype
from npu_conformance.config.performance import Workload
from npu_conformance.config.prompts import Prompt
from npu_conformance.workers.job_base import JobBase
from npu_conformance.workers.scorer_job import FloorJob, ModulesJob, ReferenceJob, SpeedJob, StatesJob

STARTING, CLOSING = "starting vLLM", "closing"
"""What a worker says it does until its engine has come up, and when its output is whole."""
REFUSED = 2
"""A worker's exit status when it gives the reason itself."""
Mode = Literal["generate", "forced", "forced warm", "forced long", "tokens only", "serving"]
"""What a candidate does: choose its tokens, with all that is asked of `base` and `as_served`; take those of another
trace; the same, its cache warm; take long texts; choose its tokens without its logits being captured; be asked over
HTTP, as a server."""


ForcedPart = Literal["answers", "cold", "boundary"]
"""What a forced decode leaves: the answers; the same while its cache was filled; the block-boundary prompts."""


class Watched(NamedTuple):
    """A position of a forced decode."""

    part: ForcedPart
    prompt: int
    """Index in its part."""
    step: int


class TwinJob(JobBase):
    """Build a twin's checkpoint folder."""

    kind: Literal["twin"] = "twin"
    recipe: str
    prompts_dir: Path
    base: Path | None = None
    """Folder of the twin it is made from."""


class ScanJob(JobBase):
    """Look through a checkpoint's weights; the output is a JSON file."""

    kind: Literal["scan"] = "scan"
    checkpoint: Path


class ConvertJob(JobBase):
    """Write a quantised checkpoint again as plain weights."""

    kind: Literal["convert"] = "convert"
    source: Path
    dtype: Dtype


class AuditJob(JobBase):
    """Hold a candidate's weights against the published ones; the output is a JSON file."""

    kind: Literal["audit"] = "audit"
    source: Path
    candidate: Path


class RenderJob(JobBase):
    """Render prompts into token ids, once for all engines; the output is a JSON file."""

    kind: Literal["render"] = "render"
    checkpoint: Path
    prompts: tuple[Prompt, ...]
    chat_template_kwargs: dict[str, Any] = Field({})
    trust_remote_code: bool = False


class CandidateJob(JobBase):
    """Run the engine under test greedily over rendered prompts and leave a trace."""

    kind: Literal["candidate"] = "candidate"
    engine: str
    """Its name, see `config.engines`."""
    checkpoint: Path
    adapter: Path | None = None
    """LoRA folder; every prompt is also asked for one token without it."""
    rendered: Path
    """Output of a RenderJob."""
    tokens_of: Path | None = None
    """Trace whose tokens it is made to take; `forced` and `forced warm` need it, `generate` may have one."""
    mode: Mode = "generate"
    tight_cache: bool = False
    """The KV cache is to hold the longest request and hardly more."""
    layer_prompts: int = 0
    """Prompts whose hidden states are kept, layer by layer."""
    module_prompts: int = 0
    """Prompts of which is kept what attentions and MLPs are given and give."""
    watched: tuple[Watched, ...] = ()
    """Positions of a forced decode whose hidden states are kept; the engine must be started with a hook."""
    chat_template_kwargs: dict[str, Any] = Field({})
    options: dict[str, Any]
    """Engine options of the variant, by vLLM's names."""
    envs: tuple[str, ...] = ()
    """Names of environment variables that config and variant set; the trace shows their values, whatever they are
    called."""
    max_tokens: int
    device: Literal["npu", "cuda", "cpu"] | None = None
    """Insist on this platform; None takes what is found."""
    server: str | None = None
    """Address of an engine that is a server."""
    served_model: str | None = None
    """As that server names the model; None takes its first."""
    trust_remote_code: bool = False

    @model_validator(mode="after")
    def _has_tokens_to_take(self) -> "CandidateJob":
        if self.mode in ("forced", "forced warm") and self.tokens_of is None:
            raise ValueError(f"the mode {self.mode!r} needs a trace whose tokens to take")
        return self

    @property
    def label(self) -> str:
        """Its name among those of a series: the variant's."""
        return self.output.parent.name


class Injection(NamedTuple):
    """A fault to put into the engine."""

    kind: str
    """Its name in `selftest.catalogue`."""
    strength: float

    @property
    def label(self) -> str:
        """Its trace's folder."""
        return f"{self.kind}@{self.strength:g}"


class FaultsJob(CandidateJob):
    """One engine that takes base's tokens with one fault after another; the output is a folder of their traces."""

    kind: Literal["faults"] = "faults"  # type: ignore[assignment]
    injections: tuple[Injection, ...]

    @property
    def stages(self) -> set[Path]:
        """The folder of traces too."""
        return {self.output.parent, self.output}


class ServingJob(CandidateJob):
    """Ask vLLM's server over HTTP, one that runs already or one that is started; leave a trace and a record."""

    kind: Literal["serving"] = "serving"  # type: ignore[assignment]
    base_name: str
    """The model's name at a server that is started; `served_model` is the LoRA's where there is one."""
    ready: float
    """Seconds in which a server that is started must be ready."""


class ProbeJob(CandidateJob):
    """One engine that `probe` asks whether the suite's machinery holds in it; the output is a JSON file."""

    kind: Literal["probe"] = "probe"  # type: ignore[assignment]
    pieces: tuple[str, ...]
    """What is asked, by the names in `commands.probe.asking`."""

    @property
    def label(self) -> str:
        """Its file's."""
        return self.output.stem


class BenchJob(CandidateJob):
    """Measure the engine's speed with one of vLLM's own tools; the output is a JSON file of a `Bench`."""

    kind: Literal["bench"] = "bench"  # type: ignore[assignment]
    tool: Literal["latency", "throughput", "serve"]
    workload: Workload
    ready: float
    """Seconds in which a server must be ready."""

    @property
    def label(self) -> str:
        """The tool's."""
        return self.tool


class SeriesJob(BaseModel):
    """Jobs of a kind one after another in one process, which saves starting it; what fails ends the series."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["series"] = "series"
    jobs: tuple[CandidateJob, ...] | tuple[ReferenceJob | FloorJob | ModulesJob, ...]

    @property
    def stages(self) -> set[Path]:
        """Those of its jobs."""
        return {folder for job in self.jobs for folder in job.stages}


Job = Annotated[
    TwinJob | ScanJob | ConvertJob | AuditJob | RenderJob | CandidateJob | FaultsJob | ServingJob | ProbeJob | BenchJob
    | ReferenceJob | FloorJob | ModulesJob | StatesJob | SpeedJob | SeriesJob,
    Field(discriminator="kind"),
]  # fmt: skip
JOB: TypeAdapter[Job] = TypeAdapter(Job)
