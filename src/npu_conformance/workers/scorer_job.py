"""Jobs of the reference: what a process that scores a candidate's tokens is asked to do."""

from pathlib import Path
from typing import Literal

from npu_conformance.config.limits import Dtype, ReferenceDtype
from npu_conformance.workers.job_base import JobBase


class ScorerJob(JobBase):
    """What a model of transformers is asked about given tokens."""

    checkpoint: Path
    checkpoint_digest: str
    adapter: Path | None = None
    adapter_digest: str | None = None
    dtype: ReferenceDtype = "float32"
    attn_implementation: str
    dither: int | None = None
    """Seed of noise, of half a unit in the last place of the dtype, on every layer's input: another floor run of the
    same rounding."""
    quantised: bool = False
    """Whether what enters its layers is quantised too, as the checkpoint says."""
    cache: Path
    """Folder of what is computed already, one entry a sequence."""
    trust_remote_code: bool = False

    @property
    def stages(self) -> set[Path]:
        """The output's folder and the cache."""
        return {self.output.parent, self.cache}


class ReferenceJob(ScorerJob):
    """Score the candidate's tokens with the float32 reference and leave a trace."""

    kind: Literal["reference"] = "reference"
    candidate: Path
    """Trace whose tokens are forced."""
    rendered: Path | None
    """Output of a RenderJob, whose prompts the candidate must have been given; None of the suite's own long texts."""
    logits_only: bool = False
    """Whether nothing else of it is compared: no hidden states, and not what its modules were made with."""


class FloorJob(ScorerJob):
    """Measure a floor run against the reference over the same tokens; the output is a file (see `save_floor_run`)."""

    kind: Literal["floor"] = "floor"
    reference: Path
    """Trace of the reference, which is there before."""

    @property
    def label(self) -> str:
        """Its name among the jobs of a series."""
        return self.output.stem


class ModulesJob(ScorerJob):
    """Compute a candidate's attentions and MLPs again, from what it gave them; the output holds `ModuleErrors`."""

    kind: Literal["modules"] = "modules"
    candidate: Path
    """Trace that holds what they were given and gave."""
    floor_dtype: Dtype
    """The candidate's."""

    @property
    def label(self) -> str:
        """Its name among the jobs of a series."""
        return self.output.stem


class StatesJob(ScorerJob):
    """Hidden states at the end of given prefixes, layer by layer; the output is a file of `Layers`."""

    kind: Literal["states"] = "states"
    prefixes: tuple[tuple[int, ...], ...]


class SpeedJob(ScorerJob):
    """Time the reference's own greedy decoding; the output is a JSON file of a `Bench`."""

    kind: Literal["speed"] = "speed"
    prompt: tuple[int, ...]
    tokens: int
    """That it decodes, besides the first."""
