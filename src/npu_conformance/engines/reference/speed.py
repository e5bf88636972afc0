"""How long the reference takes for a token on the CPU, decoding greedily through its own KV cache."""

import time
from typing import TYPE_CHECKING, Any

from npu_conformance.engines.reference.scoring import Scorer
from npu_conformance.machine.storage import write_text
from npu_conformance.traces.performance import Bench, Figure

if TYPE_CHECKING:
    from npu_conformance.workers.scorer_job import SpeedJob
    from npu_conformance.workers.worker import Progress


def run(job: "SpeedJob", progress: "Progress") -> None:
    """Time answers of one token and of more: their difference is what decoding takes."""
    import torch

    model = Scorer(job, progress).model()
    ids = torch.tensor([job.prompt])
    progress("decoding", 0, 0)
    _seconds(model, ids, 1)
    first, all_of_them = _seconds(model, ids, 1), _seconds(model, ids, 1 + job.tokens)
    found = Figure(value=1000 * max(0.0, all_of_them - first) / job.tokens, n=job.tokens)
    command = f"transformers, {job.dtype}, generate(max_new_tokens={1 + job.tokens}) after {len(job.prompt)} tokens"
    write_text(job.output, Bench(figures={"reference_tpot_ms": found}, command=(command,)).model_dump_json(indent=1))


def _seconds(model: Any, ids: Any, tokens: int) -> float:
    import torch

    started = time.monotonic()
    with torch.inference_mode():
        model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            do_sample=False,
            pad_token_id=0,
        )
    return time.monotonic() - started
