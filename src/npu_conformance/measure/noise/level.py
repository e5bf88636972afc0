"""The floor, position by position and prompt by prompt."""

import numpy as np

from npu_conformance.measure.noise.found import Floor, Values


def left_out(floor: Floor, name: str, what: str) -> Values:
    """A floor run's deviations in units of the others'."""
    others = {other: one for other, one in floor.items() if other != name}
    return np.asarray(getattr(floor[name], what) - level(others, what))


def level(floor: Floor, what: str) -> Values:
    """Logarithm of the floor runs' root mean square deviation [positions]."""
    squares = [2 * getattr(one, what) for one in floor.values()]
    return np.asarray(np.logaddexp.reduce(squares, axis=0) - np.log(len(squares))) / 2


def envelope(floor: Floor, what: str) -> Values:
    """Mean logarithm of the error of each prompt, of the floor run that is worst on the whole [prompts].

    Not of the one that is worst in each prompt: the fewer tokens a prompt has, the larger is the worst of several.
    """
    middle, any_run = level(floor, what), next(iter(floor.values()))
    above = max(float(one.by_prompt(getattr(one, what) - middle).mean()) for one in floor.values())
    return any_run.by_prompt(middle) + above
