"""How an engine ran: what it was asked for beside what it did."""

from dataclasses import dataclass
from typing import Any

from npu_conformance.config.variants import follows
from npu_conformance.report.details import VariantDetails

_NONE = "—"
# Names that vLLM makes up anew in every process.
_MADE_UP = ("VLLM_DIST_IDENT", "VLLM_OBJECT_STORAGE_SHM_BUFFER_NAME")


@dataclass(frozen=True)
class OptionRow:
    """An engine option or an environment variable."""

    name: str
    asked: str
    """`—` where it was left to the engine."""
    effective: str
    """`—` where the engine does not say."""
    differs: bool
    """Whether the engine ran with something else than it was asked for."""


def option_rows(variant: VariantDetails, base: VariantDetails | None = None) -> list[OptionRow]:
    """A row an option and an environment variable.

    Args:
        variant: that ran.
        base: leave out what is the same there.
    """
    known = set() if base is None else set(_all_rows(base))
    return [row for row in _all_rows(variant) if row not in known]


def sign_counts(variant: VariantDetails, base: VariantDetails | None = None) -> dict[str, int]:
    """What the engine showed of its features, by `variants.Sign`; of base's, only where it differs."""
    seen: dict[str, int] = variant.candidate.get("observed") or {}
    known: dict[str, int] = (base.candidate.get("observed") or {}) if base else {}
    return {sign: count for sign, count in seen.items() if base is None or count != known.get(sign, 0)}


def _all_rows(variant: VariantDetails) -> list[OptionRow]:
    effective: dict[str, Any] = dict(variant.candidate.get("effective") or {})
    asked: dict[str, Any] = variant.candidate.get("asked") or {}
    sections = {**(asked.get("compilation_config") or {}), **(asked.get("additional_config") or {})}
    # Of all that vLLM-Ascend's own config holds, what was asked for.
    effective |= {name: value for name, value in effective.pop("ascend_config", {}).items() if name in sections}
    # What the engine says of these it says by their own names.
    asked = {**asked, **{name: value for name, value in sections.items() if name in effective}}
    environment: dict[str, str] = variant.candidate.get("environment") or {}
    return [
        *(_row(name, asked, effective) for name in dict.fromkeys([*effective, *asked])),
        *(_row(name, {}, environment) for name in environment if name not in _MADE_UP),
    ]


def _row(name: str, asked: dict[str, Any], effective: dict[str, Any]) -> OptionRow:
    return OptionRow(
        name=name,
        asked=str(asked[name]) if name in asked else _NONE,
        effective=str(effective[name]) if name in effective else _NONE,
        differs=name in asked and name in effective and not follows(asked[name], effective[name]),
    )
