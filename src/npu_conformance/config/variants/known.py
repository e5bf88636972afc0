"""What a variant is: in a config, and in the catalogue."""

from typing import Annotated, Any, Literal

from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError, field_validator

from npu_conformance.config.mistakes import mistakes
from npu_conformance.config.names import VariantName
from npu_conformance.config.refused import refuse_chosen_devices, refuse_corrupting
from npu_conformance.config.serve import Serve
from npu_conformance.machine.devices import Platform

Sign = Literal[
    "cached_tokens",
    "prefills_of_a_prompt",
    "preemptions",
    "graph",
    "experts",
    "drafts",
    "lora_layers",
    "plain_weights_in_nz",
    "flashcomm1_layers",
    "flashcomm2_layers",
    "matmul_allreduce_layers",
    "batch_invariant_operators",
    "xlite_worker",
]
"""What an engine shows of a feature that took effect, by its key among a trace's observations."""

Requirement = Literal[
    "experts", "expert_parallel", "sharded", "spare_ranks", "plain", "quantised", "sparse_attention", "xlite"
]
"""What a model, or how it is served, must have before a switch can act on it (`run/lacking.py` looks)."""


_LONGEST = 2**15
"""Characters of a variable; Linux takes 128 KiB of any letters."""


def _as_text(envs: Any) -> Any:
    """Whole numbers as text; `true` and `0.50` could be meant as any of several."""
    if not isinstance(envs, dict):
        return envs
    for name, value in envs.items():
        if isinstance(value, bool | float):
            told = f'{name}: expected text, found {value!r}; write it in quotes, such as {name}: "1"'
            raise ValueError(told)  # noqa: TRY004 (what pydantic tells)
    return {name: str(value) if isinstance(value, int) else value for name, value in envs.items()}


def _can_be_set(envs: dict[str, str]) -> dict[str, str]:
    for name, value in envs.items():
        if not name or "=" in name or "\0" in name + value or len(name + value) > _LONGEST:
            raise ValueError(f"{name[:40]!r}: no environment variable can have this name or value")
    refuse_chosen_devices(envs)
    refuse_corrupting({}, envs)
    return envs


Envs = Annotated[dict[str, str], BeforeValidator(_as_text), AfterValidator(_can_be_set)]
"""Environment variables that an engine may be given."""


class Variant(BaseModel):
    """What a variant changes of `base`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: VariantName
    """As `-k` selects it."""
    options: dict[str, Any] = {}
    """Engine arguments of vLLM."""
    envs: Envs = {}
    """Environment variables of the engine's process, on top of the config's."""

    @field_validator("options")
    @classmethod
    def _as_in_serve(cls, options: dict[str, Any]) -> dict[str, Any]:
        """What serve has a key for has its values here too; None is vLLM's own default, but limits need a dtype."""
        if fixed := {"engine_args", "trust_remote_code"} & options.keys():
            raise ValueError(f"{min(fixed)}: belongs under serve, a variant cannot change it")
        refuse_corrupting(options)
        own = {name: value for name, value in options.items() if name in Serve.model_fields}
        known = {name: value for name, value in own.items() if value is not None or name == "dtype"}
        try:
            Serve.model_validate(known)
        except ValidationError as error:
            raise ValueError("; ".join(mistakes(error, known, Serve))) from None
        return options


class Bound(BaseModel):
    """The releases of a package that have what a variant switches; a release candidate counts as its release."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    package: Literal["vllm", "vllm-ascend"]
    since: str | None = None
    """The first of them."""
    before: str | None = None
    """The first that has it no more; where it is older than `since`, those between are without it."""
    reason: str
    """What the others are like."""
    platform: Platform | None = None
    """The one platform it holds on."""

    def excludes(self, version: str) -> str | None:
        """Why an installed version cannot run the variant, in words; None where it can, or is no version."""
        try:
            # A post-release, a release candidate and a local build are of their release.
            found = Version(Version(version).base_version)
        except InvalidVersion:
            return None
        # A checkout without tags is built as 0.1.dev1+g….
        if found == Version("0.1"):
            return None
        late = self.since is None or found >= Version(self.since)
        early = self.before is None or found < Version(self.before)
        gap = self.since is not None and self.before is not None and Version(self.before) < Version(self.since)
        if (late or early) if gap else (late and early):
            return None
        when = [f"before {self.before}"] * (gap or not early) + [f"from {self.since} on"] * (gap or not late)
        return f"{self.package} {version} {self.reason}; {' and '.join(when)} it can run"


class Known(BaseModel):
    """A variant of the catalogue: options, environment variables, and what is known of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    options: dict[str, Any] = {}
    envs: dict[str, str] = {}
    """Environment variables; beside options they are the same switch under its name in other releases."""
    changes: str
    """In words."""
    platform: Platform | None = None
    """The one platform that has it."""
    needs: Sign | None = None
    """Without this sign in the run the variant did not take effect, and is not judged."""
    bitwise: bool = False
    """Must give base's logits bit for bit."""
    tokens_only: bool = False
    """The engine refuses logits processors: it generates, and its tokens are compared."""
    served: bool = False
    """The engine is vLLM's server with the YAML's own options, asked over HTTP."""
    long: bool = False
    """Forced decodes long texts of its own instead of base's prompts."""
    tight_cache: bool = False
    """The KV cache holds the longest request and hardly more."""
    lacking: dict[Platform, str] = {}
    """Why the engine of a platform cannot run it."""
    bounds: tuple[Bound, ...] = ()
    """The releases that can."""
    requires: dict[Requirement, str] = {}
    """What the model must have, and what is said of one that has it not."""
    silent: bool = False
    """Nothing shows that it took effect, also where the engine says that it was asked."""
