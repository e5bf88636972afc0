"""What a run is refused for before it starts, by the models it selects."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from npu_conformance.baselines.keeping import check_kept, misplaced, refusal, unused
from npu_conformance.baselines.published import load_published
from npu_conformance.config.model import config_names
from npu_conformance.config.prompts import load_prompts
from npu_conformance.errors import ConfigError, printable
from npu_conformance.run.checked import mistake
from npu_conformance.run.current_baseline import place_of
from npu_conformance.run.session import Session


def refuse(session: Session, selected: Mapping[str, tuple[str, ...]], baselines: Path, *, weights: bool) -> None:
    """Look at what is cheap to look at.

    Args:
        session: of the command line.
        selected: variants by model.
        baselines: folder of published reports and baselines.
        weights: whether they must be there.

    Raises:
        pytest.UsageError: one line that says what is wrong.
    """
    settings, models = session.settings, list(selected)
    for option, given in (
        ("--candidate-weights", settings.candidate_weights),
        ("--candidate-adapter", settings.candidate_adapter),
    ):
        if given and len(models) > 1:
            raise pytest.UsageError(f"{option} is for one model, but {len(models)} are selected: choose one with -k")
    everything = set(models) == set(config_names(settings.configs))
    if everything and (files := unused(baselines, settings.configs)):
        raise pytest.UsageError(f"{files[0]}: a baseline of no model config and platform: remove or rename it")
    for model in models:
        try:
            session.config(model)
            load_published(baselines, model)
            check_kept(baselines, model)
            reason = session.missing(model)
            refused = no_baseline(session, model)
        except ConfigError as error:
            raise pytest.UsageError(str(error)) from None
        if reason and weights:
            raise pytest.UsageError(reason)
        if refused:
            raise pytest.UsageError(f"--baseline={settings.baseline}: {refused}")


def mistakes_elsewhere(session: Session, selected: Mapping[str, tuple[str, ...]]) -> list[str]:
    """A line for each config that cannot be used and of which nothing is selected: it stops nobody else's."""
    configs = session.settings.configs
    found = {model: mistake(configs, model) for model in config_names(configs) if selected and model not in selected}
    return [
        f"WARNING: {printable(model)}: is not selected, and cannot be used: {why}"
        for model, why in found.items()
        if why
    ]


def no_baseline(session: Session, model: str) -> str | None:
    """Why the baseline that was asked for will not be written, as far as that is known before any engine starts."""
    settings = session.settings
    if settings.baseline not in ("create", "update") or settings.from_dir is not None:
        return None  # of traces only they know the platform
    if settings.candidate_weights or settings.candidate_adapter:
        return refusal((), (), own_weights=True)
    own = len(load_prompts(session.config(model).prompts, settings.prompts_dir))
    if settings.prompts is not None and settings.prompts < own:
        return (
            f"later runs, without --prompts, could not be judged by it: leave it out, or ask for {own} prompts or more"
        )
    return misplaced(settings.baseline, place_of(settings, model, session.kind(model))[1])
