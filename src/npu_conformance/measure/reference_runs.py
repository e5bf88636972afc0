"""Floor runs of a model by transformers: the reference, and the noise floor, which is what rounding alone costs."""

from typing import Literal, NamedTuple

from npu_conformance.config.limits import Dtype

Attention = Literal["sdpa", "eager"]
FLOOR = "floor"
"""Folder of the floor runs' files beside the reference's trace."""
QUANTISED = "quantised"
"""Folder of the same for what quantisation costs by itself."""


class ReferenceRun(NamedTuple):
    """One way to compute the same model."""

    name: str
    """Its trace's folder."""
    dtype: Dtype
    attn_implementation: Attention
    dither: int | None = None
    """Seed of noise below the dtype's precision."""

    @property
    def deviates(self) -> bool:
        """Whether only what it deviates from the reference is kept: of a floor run, and of quantisation alone."""
        return self.name.startswith((f"{FLOOR}/", f"{QUANTISED}/"))


def reference(attention: Attention) -> ReferenceRun:
    """What candidates are held against."""
    return ReferenceRun("reference", "float32", attention)


def noise_floor(dtype: Dtype, attention: Attention) -> tuple[ReferenceRun, ...]:
    """Floor runs in the candidate's dtype, as different as correct ones are.

    Args:
        dtype: the candidate's.
        attention: of the reference, which is no floor run of a float32 candidate's noise: it is the reference.
    """
    other: Attention = "eager" if attention == "sdpa" else "sdpa"
    attentions: tuple[Attention, ...] = (other,) if dtype == "float32" else ("sdpa", "eager")
    return (
        *(ReferenceRun(f"{FLOOR}/{one}", dtype, one) for one in attentions),
        # Two, because kinds of attention say nothing of layers without one: there they are the same.
        *(ReferenceRun(f"{FLOOR}/dithered{seed}", dtype, attention, seed) for seed in (1, 2)),
    )


def quantisation(attention: Attention) -> ReferenceRun:
    """A quantised candidate's arithmetic with nothing else rounded: what quantisation costs by itself.

    Args:
        attention: of the reference.
    """
    return ReferenceRun(f"{QUANTISED}/float32", "float32", attention)
