"""Twins that would be built: their steps, and what one that is not there yet will be like."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.tensor import Tensor
from npu_conformance.commands.plan.estimate import Take
from npu_conformance.commands.plan.step import Step
from npu_conformance.errors import ConformanceError
from npu_conformance.machine.capacity import GIB
from npu_conformance.run.build_twins import is_whole, twin_folder, with_bases
from npu_conformance.run.session import Session
from npu_conformance.twins import called, find_recipe
from npu_conformance.twins.recipes import Stored

# A twin that is not built: about what those there are have.
_TWIN_PARAMETERS = 3_500_000
_TWIN_CONFIG = {
    "vocab_size": 2400,
    "max_position_embeddings": 32768,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 128,
}
_TWIN_MEMORY, TWIN_DISK = GIB, 8 * 2**20
# Seconds of a step of training, and of storing a twin in another format: on 2 cores six twins took 392 s and three
# 233 s on a Xeon at 2.5 GHz, five 159 s on an AMD EPYC.
_TRAINING_STEP, _STORING = 0.4, 10


def twin_steps(session: Session, models: Sequence[str]) -> list[Step]:
    """The twins that models need and that are not built yet, bases first, each once."""
    if not session.settings.twin:
        return []
    recipes: list[str] = []
    for model in models:
        with contextlib.suppress(ConformanceError):  # no interpreter here knows its class: its own steps say so
            session.subject(model)
            recipes += [recipe for recipe in (session.config(model).recipe,) if recipe]
    chosen = session.settings.reference_python
    return [_twin_step(one) for one in with_bases(recipes) if not is_whole(twin_folder(one, chosen))]


def nominal(folder: Path) -> Checkpoint:
    """A twin that is not there yet."""
    weights = Tensor((_TWIN_PARAMETERS,), "BF16", folder / "model.safetensors")
    return Checkpoint(folder, dict(_TWIN_CONFIG), {"weights": weights})


def _twin_step(recipe: str) -> Step:
    found = find_recipe(recipe)
    seconds = _STORING if isinstance(found, Stored) else found.training.steps * _TRAINING_STEP
    return Step(
        kind="twin",
        model=called(recipe),
        name="",
        about=f"stand-in of {found.twin_of}",
        take=Take(seconds, _TWIN_MEMORY, TWIN_DISK),
        basis="not built yet",
    )
