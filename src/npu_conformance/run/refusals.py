"""What a run is refused for before it starts, by the models it selects."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from npu_conformance.baselines.keeping import unused
from npu_conformance.baselines.published import load_published
from npu_conformance.config import config_names
from npu_conformance.errors import ConfigError
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
            raise pytest.UsageError(f"{option} is one model's, {len(models)} models are selected: choose one with -k")
    everything = set(models) == set(config_names(settings.configs))
    if everything and (files := unused(baselines, settings.configs)):
        raise pytest.UsageError(f"{files[0]}: a baseline of no model config and platform: remove or rename it")
    for model in models:
        try:
            session.config(model)
            load_published(baselines, model)
            reason = session.missing(model)
        except ConfigError as error:
            raise pytest.UsageError(str(error)) from None
        if reason and weights:
            raise pytest.UsageError(reason)
