"""Jobs: what a worker process is asked to do, as data. One kind a module that does it."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from npu_conformance.limits import Dtype
from npu_conformance.prompts import Prompt


class _Job(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    output: Path
    """What the job leaves, whole or not at all."""


class TwinJob(_Job):
    """Build a twin's checkpoint folder."""

    kind: Literal["twin"] = "twin"
    recipe: str
    prompts_dir: Path
    base: Path | None = None
    """Folder of the twin it is made from."""


class ScanJob(_Job):
    """Look through a checkpoint's weights; the output is a JSON file."""

    kind: Literal["scan"] = "scan"
    checkpoint: Path


class ConvertJob(_Job):
    """Write a quantised checkpoint again as plain weights."""

    kind: Literal["convert"] = "convert"
    source: Path
    dtype: Dtype


class AuditJob(_Job):
    """Hold a candidate's weights against the published ones; the output is a JSON file."""

    kind: Literal["audit"] = "audit"
    source: Path
    candidate: Path


class RenderJob(_Job):
    """Render prompts into token ids, once for all engines; the output is a JSON file."""

    kind: Literal["render"] = "render"
    checkpoint: Path
    prompts: tuple[Prompt, ...]
    chat_template_kwargs: dict[str, Any] = {}
    trust_remote_code: bool = False


class CandidateJob(_Job):
    """Run the engine under test greedily over rendered prompts and leave a trace."""

    kind: Literal["candidate"] = "candidate"
    engine: Literal["vllm", "transformers"]
    checkpoint: Path
    adapter: Path | None = None
    """LoRA folder; every prompt is also asked for one token without it."""
    rendered: Path
    """Output of a RenderJob."""
    layer_prompts: int = 0
    """Prompts whose hidden states are kept, layer by layer."""
    chat_template_kwargs: dict[str, Any] = {}
    options: dict[str, Any]
    """Engine options of the variant, by vLLM's names."""
    max_tokens: int
    device: Literal["npu", "cuda", "cpu"] | None = None
    """Insist on this platform; None takes what is found."""
    trust_remote_code: bool = False


class ReferenceJob(_Job):
    """Score the candidate's tokens with the float32 reference and leave a trace."""

    kind: Literal["reference"] = "reference"
    checkpoint: Path
    checkpoint_digest: str
    adapter: Path | None = None
    adapter_digest: str | None = None
    dtype: Dtype = "float32"
    candidate: Path
    """Trace whose tokens are forced."""
    rendered: Path
    attn_implementation: str
    cache: Path
    """Folder of logits already computed, one entry a sequence."""
    trust_remote_code: bool = False


Job = Annotated[
    TwinJob | ScanJob | ConvertJob | AuditJob | RenderJob | CandidateJob | ReferenceJob, Field(discriminator="kind")
]
JOB: TypeAdapter[Job] = TypeAdapter(Job)
