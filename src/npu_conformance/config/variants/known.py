"""What a variant is: in a config, and in the catalogue."""

from typing import Annotated, Any, Literal

from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from npu_conformance.config.refused import refuse_chosen_devices, refuse_corrupting
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


def _not_refused(envs: dict[str, str]) -> dict[str, str]:
    refuse_chosen_devices(envs)
    refuse_corrupting({}, envs)
    return envs


Envs = Annotated[dict[str, str], AfterValidator(_not_refused)]
"""Environment variables that an engine may be given."""


class Variant(BaseModel):
    """What a variant changes of `base`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$")
    """As `-k` selects it."""
    options: dict[str, Any] = {}
    """VLLM engine arguments."""
    envs: Envs = {}
    """Environment variables of the engine's process, on top of the config's."""

    @field_validator("options")
    @classmethod
    def _not_corrupting(cls, options: dict[str, Any]) -> dict[str, Any]:
        refuse_corrupting(options)
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
