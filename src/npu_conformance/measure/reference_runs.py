"""Floor runs of a model by transformers: the reference, and the noise floor, which is what rounding alone costs."""

from typing import Literal, NamedTuple, get_args

from npu_conformance.config.limits import Dtype, ReferenceDtype

Attention = Literal["sdpa", "eager"]
FLOOR = "floor"
"""Folder of the floor runs' files beside the reference's trace."""
QUANTISED = "quantised"
"""Folder of the same for what quantisation costs by itself."""
_FLOOR_RUNS = 4


class ReferenceRun(NamedTuple):
    """One way to compute the same model."""

    name: str
    """Its trace's folder."""
    dtype: ReferenceDtype
    attn_implementation: Attention
    dither: int | None = None
    """Seed of noise below the dtype's precision."""

    @property
    def deviates(self) -> bool:
        """Whether only what it deviates from the reference is kept: of a floor run, and of quantisation alone."""
        return self.name.startswith((f"{FLOOR}/", f"{QUANTISED}/"))


def reference(dtype: Dtype, attention: Attention) -> ReferenceRun:
    """What candidates of a dtype are held against: in float32, where they have fewer bits than that."""
    return ReferenceRun("reference", "float64" if dtype == "float32" else "float32", attention)


def attention_of(name: str) -> Attention | None:
    """The attention of a floor run without noise, by its name in the folder `FLOOR`; None of one with noise."""
    return next((one for one in get_args(Attention) if one == name), None)


def noise_floor(dtype: Dtype, attention: Attention) -> tuple[ReferenceRun, ...]:
    """Floor runs in the candidate's dtype, as different as correct ones are.

    Args:
        dtype: the candidate's.
        attention: of the reference.
    """
    # Who says eager has a class for which transformers has no sdpa, or computes another model by it.
    attentions: tuple[Attention, ...] = ("sdpa", "eager") if attention == "sdpa" else ("eager",)
    # Two or more, because kinds of attention say nothing of layers without one: there they are the same.
    seeds = range(1, 1 + _FLOOR_RUNS - len(attentions))
    plain = [ReferenceRun(f"{FLOOR}/{one}", dtype, one) for one in attentions]
    noised = (ReferenceRun(f"{FLOOR}/dithered{seed}", dtype, attention, seed) for seed in seeds)
    # Those with the reference's attention first: a process loads a model once for jobs in turn that want the same.
    return plain[0], *noised, *plain[1:]


def quantisation(attention: Attention) -> ReferenceRun:
    """A quantised candidate's arithmetic with nothing else rounded: what quantisation costs by itself.

    Args:
        attention: of the reference.
    """
    return ReferenceRun(f"{QUANTISED}/float32", "float32", attention)
