"""Answers of unequal lengths, over which intervals are simulated."""

import numpy as np

RUNS = 1500
"""Samples a case."""
LEAST = 0.93
"""Share of them in which a 95 % interval must hold the truth; over so many the share scatters by 0.006."""


def answer_lengths(rng: np.random.Generator, prompts: int) -> np.ndarray:
    """Answers of one to 48 tokens, as the prompt sets have them."""
    return np.clip(np.round(rng.lognormal(np.log(15), 0.6, prompts)), 1, 48).astype(int)
