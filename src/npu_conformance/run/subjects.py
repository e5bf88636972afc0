"""Which weights a run is of: real ones that were found, a twin's that may not be there yet, those of saved traces."""

from pathlib import Path

from pydantic import TypeAdapter

from npu_conformance.checkpoints.headers import read_json
from npu_conformance.checkpoints.subject import Subject, find_weights
from npu_conformance.config.model import ModelConfig
from npu_conformance.errors import ConfigError, TraceError, WeightsError
from npu_conformance.report.details import SubjectFacts
from npu_conformance.run.build_twins import twin_folder, twin_python
from npu_conformance.run.interpreters import interpreter_for
from npu_conformance.run.settings import Settings
from npu_conformance.traces.reading import read_saved
from npu_conformance.twins import RECIPES, Adapted, find_recipe
from npu_conformance.twins.recipes import Derived, Stored

_FACTS = TypeAdapter(SubjectFacts)


def find_subject(model: str, config: ModelConfig, settings: Settings) -> Subject:
    """Where a model's weights are.

    Raises:
        WeightsError: there are none, it has no twin, or no traces of it were saved.
        TraceError: the traces that were saved are damaged, or of another model.
        PlanError: no interpreter here can compute its reference.
    """
    if settings.from_dir is not None:
        saved = settings.from_dir / "traces" / model / "subject.json"
        if not saved.parent.is_dir():
            raise WeightsError(f"no traces of {model} in {settings.from_dir}: run it without --from")
        return Subject(model, saved_facts(saved, config).kind, saved.parent, saved.parent)
    return _twin(model, config, settings) if settings.twin else _real(model, config, settings)


def _real(model: str, config: ModelConfig, settings: Settings) -> Subject:
    root = settings.models_root
    reference = find_weights(config.reference_model, root)
    adapter = None if config.adapter is None else find_weights(config.adapter, root, "adapter_config.json")
    candidate = reference if settings.part == "reference" else settings.candidate_weights
    if candidate is None and config.convert is None:
        candidate = find_weights(config.model, root)
    return Subject(model, "real", reference, candidate, adapter, reference_python(reference, settings))


def reference_python(reference: Path, settings: Settings) -> Path | None:
    """The interpreter of a checkpoint's reference, where one is computed here; None for this one.

    Raises:
        CheckpointError: its config.json cannot be read.
        PlanError: no interpreter here can compute it.
    """
    if not settings.scores:
        return settings.reference_python
    config = read_json(reference / "config.json", "the model's class")
    own_code = "auto_map" in config and settings.trust_remote_code
    return interpreter_for(config.get("model_type"), settings.reference_python, own_code=own_code)


def _twin(model: str, config: ModelConfig, settings: Settings) -> Subject:
    if config.recipe is None:
        raise WeightsError(
            f"{model} has no twin: name a recipe in its YAML (twin: {' | '.join(RECIPES)}), or run its real weights"
        )
    recipe = find_recipe(config.recipe)
    python = twin_python(config.recipe, chosen := settings.reference_python)
    folder, adapter = twin_folder(config.recipe, chosen), None
    if isinstance(recipe, Adapted):
        folder, adapter = twin_folder(recipe.base, chosen), folder
    weights = find_recipe(recipe.base) if isinstance(recipe, Adapted) else recipe
    # A derived twin's may be plain where its model's are quantised: nothing is to be converted then.
    plain = isinstance(weights, Derived) and weights.format is None
    converted = config.convert is not None and not plain and settings.part != "reference"
    candidate, reference = None if converted else folder, folder
    if isinstance(recipe, Stored) and config.reference.model is not None:
        # As the model has its unquantised original.
        reference = twin_folder(recipe.base, chosen)
    return Subject(model, "twin", reference, settings.candidate_weights or candidate, adapter, python)


def check_twin(config: ModelConfig, path: Path) -> None:
    """Refuse a twin that no recipe makes.

    Raises:
        ConfigError: the config names one.
    """
    if config.recipe is not None:
        try:
            find_recipe(config.recipe)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error


def saved_facts(path: Path, config: ModelConfig) -> SubjectFacts:
    """The facts of a subject, as a run saved them.

    Args:
        path: of the file.
        config: of the model they are to be of.

    Raises:
        TraceError: they cannot be read, or are of another model.
    """
    facts = read_saved(path, _FACTS)
    if facts.model != config.model:
        raise TraceError(f"{path}: is of {facts.model}, the model config names {config.model}: run that model")
    return facts
