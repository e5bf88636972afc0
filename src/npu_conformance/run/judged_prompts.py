"""Whether the prompts of saved traces are still those of the model's YAML."""

from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path

from npu_conformance.config.model import ModelConfig
from npu_conformance.config.prompts import load_prompts
from npu_conformance.engines.rendering import load_rendered
from npu_conformance.errors import ConformanceError


def other_prompts_now(config: ModelConfig, folder: Path, traces: Path) -> str | None:
    """One line where they are not; None where they are, or the traces have none that can be read.

    Args:
        config: of the model, as it is now.
        folder: of prompt sets, as they are now.
        traces: the model's folder of traces.
    """
    try:
        then = list(load_rendered(traces / "rendered.json").prompts)
    except ConformanceError:
        return None  # its tests will say
    try:
        # A run of --prompts N had so many on purpose.
        now = load_prompts(config.prompts, folder, len(then))
    except ConformanceError as error:
        return f"the prompts of the traces are judged, not the YAML's: {error}"
    pairs = zip_longest(then, now)
    different = next(((old, new) for old, new in pairs if old != new), None)
    if different is None:
        return None
    old, new = different
    changed = old is not None and new is not None and old.id == new.id
    name = f"{(old or new or then[0]).id} {'was changed' if changed else 'is not there'}"
    return (
        f"the prompts of the traces are judged, and the YAML or its prompt sets have others now: {name}. Run the model "
        "again, without --from, to judge the new ones"
    )


def tell_other_prompts(model: str, config: ModelConfig, folder: Path, traces: Path, say: Callable[[str], None]) -> None:
    """Say so, where they are not; see `other_prompts_now`."""
    if why := other_prompts_now(config, folder, traces):
        say(f"{model}: {why}")
