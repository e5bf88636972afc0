"""The models that a server lists, and under which names it serves what was judged."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from npu_conformance.checkpoints.headers import shown
from npu_conformance.engines.openai.replies import Models
from npu_conformance.engines.openai.serving.asked import MODELS
from npu_conformance.engines.openai.serving.talk import Talk
from npu_conformance.engines.openai.transport import ServerError
from npu_conformance.traces.serving import Listed

if TYPE_CHECKING:
    from npu_conformance.workers.job import ServingJob


def list_models(talk: Talk) -> tuple[Listed, ...]:
    """What it lists."""
    told = talk.good(MODELS, None, Models).data
    return tuple(Listed(id=one.id, root=one.root, parent=one.parent, max_model_len=one.max_model_len) for one in told)


def names_of(job: "ServingJob", listed: Sequence[Listed], url: str) -> tuple[str, str]:
    """The name of what was judged, and that of the model without its LoRA; without one they are the same.

    Raises:
        ServerError: it does not serve that, or nothing tells which of several names is the LoRA's or the model's.
    """
    known = {one.id: one for one in listed}
    loras = [one.id for one in listed if one.parent is not None]
    models = [one.id for one in listed if one.parent is None]
    wanted = job.served_model
    if wanted is None:
        candidates = loras if job.adapter is not None else models
        wanted = candidates[0] if len(candidates) == 1 or (candidates and job.adapter is None) else None
    if wanted not in known:
        what = "what was judged" if wanted is None else shown(wanted)
        raise ServerError(
            f"{url}: serves {', '.join(map(shown, known)) or 'no model'}, and none of these is {what}: name it, "
            "--served-model NAME, or served_model_name in the YAML"
        )
    if job.adapter is None:
        return wanted, wanted
    others = [job.base_name, known[wanted].parent, *models]
    base = next((one for one in others if one is not None and one in known and one != wanted), None)
    if base is None:
        raise ServerError(f"{url}: serves {shown(wanted)} alone: without its base beside it nothing shows what it adds")
    return wanted, base
