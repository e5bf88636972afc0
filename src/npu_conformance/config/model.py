"""Model configs: `model_configs/<Model>.yaml` into a checked, frozen `ModelConfig`.

This module is the one place where a default is written down; the schema that editors use is made from it.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, PrivateAttr, field_validator, model_validator

from npu_conformance.config.candidate import Candidate
from npu_conformance.config.hub_id import HubId
from npu_conformance.config.labels import Labels
from npu_conformance.config.limits import FIGURES, SCHEME_LIMITS, Dtype, Scheme
from npu_conformance.config.mistakes import did_you_mean
from npu_conformance.config.names import Name, check_name
from npu_conformance.config.performance import Performance, refuse_too_long
from npu_conformance.config.prompts import MAX_TOKENS, PromptUse
from npu_conformance.config.serve import Section, Serve
from npu_conformance.config.variants import (
    CATALOGUE,
    JUDGED,
    Envs,
    Known,
    Variant,
    engine_options,
    is_served,
    known_changes,
)
from npu_conformance.config.yamlfile import load_yaml
from npu_conformance.errors import ConfigError
from npu_conformance.machine.provenance import without_secrets

LONGEST_JOB = 30 * 24 * 3600  # seconds that a job may be given
# Beside the variants in a run's folders.
_RESERVED = "subject"


class Reference(Section):
    """What the candidate is compared with: HF transformers in float32 on the CPU."""

    model: HubId | None = None
    """Hub id of other weights than the candidate's, such as the BF16 original of a converted checkpoint."""
    attn_implementation: Literal["sdpa", "eager"] = "sdpa"
    """transformers' attention implementation."""
    also: Literal["bfloat16", "float16"] | None = None
    """A second reference in this dtype, whose tokens are reported beside and never judged."""


DERIVED = "derived"  # a twin, from the model's own config.json


class Limit(Section):
    """A limit of this model that differs from the dtype's default."""

    value: Annotated[float, Field(strict=True, allow_inf_nan=False)]
    """The least or greatest value allowed, in the figure's own unit (a rate is 0 to 1)."""
    reason: Annotated[str, Field(min_length=10)]
    """Why this model needs another limit than the default; the report shows it."""


class ModelConfig(Candidate):
    """A model under test."""

    model: HubId
    """Hub id, `organisation/name`, as ModelScope and Hugging Face have it."""
    adapter: HubId | None = None
    """Hub id of a LoRA the model is served with."""
    convert: Dtype | None = None
    """For a quantised checkpoint the engine cannot run: the candidate loads it converted to plain weights of this
    dtype, the reference reads it as published."""
    scheme: Scheme | None = None
    """Quantisation scheme of the candidate's weights, whose limits then hold instead of the dtype's; the reference is
    the unquantised original, named under `reference.model`."""
    serve: Serve = Serve()
    """How it is served; the variant `as_served` is exactly this."""
    envs: Envs = Field({})
    """Environment variables of the engine's process."""
    reference: Reference = Reference()
    """What it is compared with."""
    variants: Annotated[tuple[str | Variant, ...], Field(max_length=100)] = ()
    """Variants judged besides `base` and `as_served`: names of the catalogue, or a name with engine options or
    environment variables; each changes one thing of `base`."""
    batch_invariant: bool = False
    """The engine promises logits that do not depend on the batch: they must then be bitwise equal in any."""
    prompts: Annotated[tuple[PromptUse, ...], Field(min_length=1, max_length=100)] = tuple(
        PromptUse(set=name) for name in ("general", "chinese", "code", "maths", "long")
    )
    """Prompt sets: a name, or a mapping that changes how the set is used."""
    chat_template_kwargs: dict[str, Any] = Field({})
    """Arguments of the chat template, such as `enable_thinking: false`."""
    max_tokens: Annotated[int, Field(gt=0, le=MAX_TOKENS, strict=True)] = 48
    """Longest answer in tokens; shorter ones end at their end-of-text token."""
    labels: Labels | None = None
    """Set for a model whose answers are labels, such as a guard model."""
    limits: dict[str, Limit] = Field({})
    """Limits that replace the dtype's default, by figure."""
    twin: Name | None = None
    """Recipe of the trained stand-in that `--twin` uses. `derived`: made from the model's own config.json, in a folder
    of the model's name beside this file; `npu-conformance onboard` lays it down."""
    hardware: str | None = None
    """The machine the model is meant for, shown in the report."""
    performance: Performance | None = None
    """Speed of the engine as it is served, measured by `vllm bench`; `--performance` measures it without this too."""
    deadline: Annotated[int, Field(gt=0, le=LONGEST_JOB, strict=True)] | None = None
    """Seconds one engine or reference job may take; by default 1800, and more for a reference that is forecast long."""
    _path: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _fits_together(self) -> "ModelConfig":
        refuse_too_long(self.performance, self.serve.max_model_len)
        if self.convert is not None and self.reference.model is not None:
            raise ValueError(
                "convert: the reference of a converted checkpoint is the published one; remove reference.model"
            )
        if self.scheme is not None and self.reference.model is None:
            raise ValueError("scheme: name the unquantised original under reference.model")
        # Without a scheme the dtype's own limits would hold, which quantised weights cannot keep.
        own = self.reference.model is not None and self.limits
        if self.serve.quantization == "ascend" and self.scheme is None and not own:
            raise ValueError(
                "serve.quantization: ascend serves weights that ModelSlim quantised. Add scheme: "
                f"{' or '.join(get_args(Scheme))}, and name the unquantised original under reference.model. For "
                "another scheme name the original and give limits of your own"
            )
        return self

    @field_validator("prompts", mode="before")
    @classmethod
    def _names_are_uses(cls, value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            return value
        return [{"set": item} if isinstance(item, str) else item for item in value]

    @field_validator("prompts")
    @classmethod
    def _each_set_once(cls, uses: tuple[PromptUse, ...]) -> tuple[PromptUse, ...]:
        names = [use.set for use in uses]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"set {twice[0]!r} is listed twice")
        return uses

    @field_validator("variants", mode="after")
    @classmethod
    def _known_variants(cls, variants: tuple[str | Variant, ...]) -> tuple[str | Variant, ...]:
        for variant in variants:
            if isinstance(variant, str) and variant not in CATALOGUE:
                raise ValueError(
                    f"{variant}: unknown variant{did_you_mean(variant, CATALOGUE)} (variants: {', '.join(CATALOGUE)}; "
                    "one of your own is a mapping with name, and options or envs)"
                )
            if isinstance(variant, Variant) and variant.name in (*CATALOGUE, *JUDGED, _RESERVED):
                raise ValueError(f"{variant.name}: is a name of the suite's own; give your variant another")
            if isinstance(variant, Variant) and not {"options", "envs"} & variant.model_fields_set:
                raise ValueError(f"{variant.name}: changes nothing of base; give it options or envs")
        names = [variant if isinstance(variant, str) else variant.name for variant in variants]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"variant {twice[0]!r} is listed twice")
        return variants

    @field_validator("limits", mode="before")
    @classmethod
    def _limits_have_reasons(cls, limits: Any) -> Any:
        for name, value in limits.items() if isinstance(limits, dict) else ():
            if not isinstance(value, dict | Limit):
                told = (
                    f"{name}: expected {{value: …, reason: …}}, found {value!r}. Write {name}: {{value: {value}, "
                    "reason: why this model needs another limit}"
                )
                raise ValueError(told)  # noqa: TRY004 (what pydantic tells)
        return limits

    @field_validator("limits")
    @classmethod
    def _known_figures(cls, limits: dict[str, Limit]) -> dict[str, Limit]:
        for name in limits:
            if name not in FIGURES:
                raise ValueError(f"{name}: unknown figure{did_you_mean(name, FIGURES)} (figures: {', '.join(FIGURES)})")
            least, most = FIGURES[name].range
            if not least <= limits[name].value <= most:
                told = f"from {least:g} to {most:g}" if most < float("inf") else f"of {least:g} or more"
                raise ValueError(f"{name}.value: expected a limit {told}, found {limits[name].value:g}")
        return limits

    @property
    def reference_model(self) -> str:
        """Hub id of the reference's weights."""
        return self.reference.model or self.model

    @property
    def variant_names(self) -> tuple[str, ...]:
        """All variants the model is judged in."""
        return (*JUDGED, *(variant if isinstance(variant, str) else variant.name for variant in self.variants))

    def changes(self, variant: str) -> dict[str, Any]:
        """What a variant changes of `base`; nothing for base itself and for `as_served`."""
        changing = self._changing(variant)
        return {} if changing is None else changing.options

    def changed_envs(self, variant: str) -> dict[str, str]:
        """Environment variables that a variant sets on top of the config's `envs`."""
        changing = self._changing(variant)
        return {} if changing is None else changing.envs

    def _changing(self, variant: str) -> Variant | Known | None:
        own = next((one for one in self.variants if isinstance(one, Variant) and one.name == variant), None)
        return own or CATALOGUE.get(variant)

    def changes_in_words(self, variant: str) -> str:
        """What a variant changes of `base`, for people."""
        if (known := known_changes(variant)) is not None:
            return known
        told = {**self.changes(variant), **without_secrets(self.changed_envs(variant))}
        return ", ".join(f"{name} {value!r}" for name, value in told.items())

    def options(self, variant: str) -> dict[str, Any]:
        """VLLM engine arguments of a variant."""
        if is_served(variant):
            variant = "as_served"
        return engine_options(self.serve, variant, self.changes(variant))

    @property
    def recipe(self) -> str | None:
        """The recipe of its twin; of one that is derived, the path of the file that it is derived from."""
        if self.twin != DERIVED:
            return self.twin
        name = "config.json" if self.adapter is None else "adapter_config.json"
        return str((self._path.with_suffix("") / name).resolve())

    def limit(self, figure: str, *, same_weights: bool = False) -> float | None:
        """The limit in force for a figure; None where it is shown only.

        Args:
            figure: its name.
            same_weights: whether both sides compute with the same weights, so that no quantisation lies between them.
        """
        loosened = {} if self.scheme is None else SCHEME_LIMITS[self.scheme]
        if figure in self.limits and not (same_weights and figure in loosened):
            return self.limits[figure].value
        if figure in loosened and not same_weights:
            return loosened[figure]
        return FIGURES[figure].default_limit(self.serve.dtype)


def config_path(folder: Path, name: str) -> Path:
    """The file of a model's config.

    Raises:
        ConfigError: the name is a path.
    """
    if "/" in name:
        raise ConfigError(
            f"{name}: is a path, expected the name of a model that {folder} has a config of; name another folder with "
            "--configs"
        )
    other = folder / f"{name}.yml"
    return other if other.is_file() else folder / f"{name}.yaml"


def config_names(folder: Path) -> list[str]:
    """The models there are configs for, by file name, sorted."""
    return sorted({path.stem for pattern in ("*.yaml", "*.yml") for path in folder.glob(pattern)})


def load_config(path: Path) -> ModelConfig:
    """Read a model config.

    Raises:
        ConfigError: one line naming file and key; or there is no such file, or two of the model.
    """
    try:
        check_name(path.stem)
    except ValueError as error:
        raise ConfigError(f"{path}: the file's name is the model's: {error}; rename the file") from error
    known = config_names(path.parent)
    if not path.is_symlink() and not path.exists():
        told = f"no config of this name{did_you_mean(path.stem, known)} (configs: {', '.join(known) or 'none'})"
        raise ConfigError(f"{path}: {told}")
    if alike := [name for name in known if name != path.stem and name.lower() == path.stem.lower()]:
        raise ConfigError(
            f"{path}: {alike[0]} is beside it, and `-k` takes capitals and small letters alike: rename one"
        )
    if path.suffix == ".yml" and path.with_suffix(".yaml").is_file():
        raise ConfigError(f"{path}: {path.stem}.yaml is beside it: keep one of the two")
    config = load_yaml(path, ModelConfig)
    config._path = path
    return config


def check_remote_code(config: ModelConfig, path: Path, allowed: bool) -> None:
    """Refuse a config that wants to run a checkpoint's own code when the command line does not allow it.

    Raises:
        ConfigError: `serve.trust_remote_code` is true and `allowed` is false.
    """
    if config.serve.trust_remote_code and not allowed:
        raise ConfigError(
            f"{path}: serve.trust_remote_code: the config asks to run code that comes with the weights, the "
            "command line does not allow it; add --trust-remote-code if you trust that code"
        )
