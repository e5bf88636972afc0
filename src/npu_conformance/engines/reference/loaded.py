"""The model that a process computes with: loaded once for all of its jobs in turn that want the same."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from npu_conformance.engines.adapter import merge_adapter
from npu_conformance.engines.loading import load_model

if TYPE_CHECKING:
    from npu_conformance.workers.scorer_job import ScorerJob
    from npu_conformance.workers.worker import Progress


class _Loaded(NamedTuple):
    wanted: tuple[Any, ...]
    model: Any
    adapter: Path | None
    """The LoRA that is merged into it, for good."""


_last: list[_Loaded] = []
"""One at most: two models may be more than there is memory for."""


def loaded(job: "ScorerJob", progress: "Progress", *, adapted: bool) -> Any:
    """A job's model of transformers, ready to run; the last that was loaded, where it is the same.

    Args:
        job: what to load.
        progress: told where it takes time.
        adapted: with the job's LoRA.

    Raises:
        CheckpointError: see `load_model` and `merge_adapter`.
    """
    adapter = job.adapter if adapted else None
    wanted = (
        job.checkpoint,
        job.checkpoint_digest,
        job.dtype,
        job.attn_implementation,
        job.quantised,
        job.trust_remote_code,
    )
    if not _last or _last[0].wanted != wanted or _last[0].adapter not in (None, adapter):
        _last.clear()
        progress(f"loading the {job.dtype} model", 0, 0)
        model = load_model(
            job.checkpoint,
            job.dtype,
            job.attn_implementation,
            trust_remote_code=job.trust_remote_code,
            quantised=job.quantised,
        )
        _last.append(_Loaded(wanted, model, None))
    if _last[0].adapter is None and adapter is not None:
        model = _last.pop().model
        _last.append(_Loaded(wanted, merge_adapter(model, adapter), adapter))
    return _last[0].model
