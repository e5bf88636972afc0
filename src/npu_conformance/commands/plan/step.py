"""Something that a run would start."""

from dataclasses import dataclass
from typing import Literal

from npu_conformance.commands.plan.estimate import Take

Kind = Literal["twin", "preparation", "conversion", "engine", "reference", "noise floor", "judging"]


@dataclass(frozen=True)
class Step:
    """Something that would be started."""

    kind: Kind
    model: str
    """The model it is for; of a twin the recipe, for it may be several models'."""
    name: str
    """The variant; of a conversion the dtype."""
    about: str
    """In words: what a variant changes, which reference it is."""
    take: Take
    basis: str
    """Where the estimate comes from."""
    process: int = 0
    """Number of an engine's process in the whole run; 0 for what is no engine."""
    starts: bool = True
    """Whether an engine is started; a server may run already."""
    needed_by: tuple[str, ...] = ()
    """Variants for whose sake it runs though it is not selected itself."""
    deadline: float | None = None
    """Seconds after which it would be ended."""
    refusable: bool = False
    """Held against this machine before any engine of the model starts."""
