"""Floor runs of a model by transformers: the reference, and the noise floor, which is what rounding alone costs."""

from typing import Literal, NamedTuple, get_args

from npu_conformance.config.limits import Dtype

Attention = Literal["sdpa", "eager"]
FLOOR = "floor"
"""Folder of the floor's traces beside the reference's."""


class ReferenceRun(NamedTuple):
    """One way to compute the same model."""

    name: str
    """Its trace's folder."""
    dtype: Dtype
    attn_implementation: Attention
    dither: int | None = None
    """Seed of noise below the dtype's precision."""

    @property
    def of_floor(self) -> bool:
        """Whether it is a floor run, of which only what it deviates is kept."""
        return self.name.startswith(f"{FLOOR}/")


def reference(attention: Attention) -> ReferenceRun:
    """What candidates are held against."""
    return ReferenceRun("reference", "float32", attention)


def attention_of(name: str) -> Attention | None:
    """The attention of a floor run without noise, by its name in the folder `FLOOR`; None of one with noise."""
    return next((one for one in get_args(Attention) if one == name), None)


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
