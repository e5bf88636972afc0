"""Three-way comparison: decode and prefill against the reference, and decode against the same engine's prefill.

They run different kernels, so which of them break says where to look.
"""

from typing import NamedTuple


class ThreeWay(NamedTuple):
    """Whether each holds."""

    decode: bool
    """Decode path against the reference."""
    prefill: bool
    """Prefill path against the reference."""
    own: bool
    """Decode path against the engine's own prefill path."""


IMPLICATES: dict[ThreeWay, str] = {
    ThreeWay(True, True, True): "nothing: both paths compute the reference's model",
    ThreeWay(
        True, True, False
    ): "two paths that err within their limits, but apart: look at the worst position of each",
    ThreeWay(False, True, False): "decode alone: KV cache, recurrent state, decode kernels or the replay of a graph",
    ThreeWay(
        False, True, True
    ): "decode alone, narrowly: it breaks a limit that prefill just keeps; look at its worst position",
    ThreeWay(True, False, False): "prefill alone: attention over whole prompts, its mask or positions, or chunking",
    ThreeWay(
        True, False, True
    ): "prefill alone, narrowly: it breaks a limit that decode just keeps; look at its worst position",
    ThreeWay(False, False, True): "what both paths share: weights, their conversion, or the arithmetic of the layers",
    ThreeWay(False, False, False): "weights or layers are wrong, and decode has a second error: fix prefill first",
}
"""What each combination implicates."""
