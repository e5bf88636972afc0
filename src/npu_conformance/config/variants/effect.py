"""Whether a run shows that its engine did what a variant asked of it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from npu_conformance.config.variants.catalogue import CATALOGUE
from npu_conformance.config.variants.known import Sign

_IMPLIED: dict[str, Sign] = {
    "enable_prefix_caching": "cached_tokens",
    "enable_lora": "lora_layers",
    "enable_expert_parallel": "experts",
}
"""The signs of what options switch on."""


def signs_of(variant: str, options: dict[str, Any]) -> tuple[Sign, ...]:
    """The signs that a variant must leave: the catalogue's, or for one of a config's own those its options imply."""
    known = CATALOGUE.get(variant)
    if known is not None:
        return () if known.needs is None else (known.needs,)
    return implied_signs(options)


def implied_signs(options: dict[str, Any]) -> tuple[Sign, ...]:
    """The signs that engine options must leave, by what they switch on."""
    graph: tuple[Sign, ...] = ("graph",) if options.get("enforce_eager") is False else ()
    return (*graph, *(sign for name, sign in _IMPLIED.items() if options.get(name)))


def no_effect(options: dict[str, Any], needs: Sequence[Sign], provenance: dict[str, Any]) -> str | None:
    """Why a run is one of `base`: an option the engine did not follow, a sign that is missing.

    Args:
        options: what was changed of base's.
        needs: the signs that tell it took effect.
        provenance: of the candidate's trace, with what was effective and observed.
    """
    for name, value, effective in _told(options, provenance):
        if not follows(value, effective):
            return f"asked for {name} {value!r}, the engine ran with {effective!r}"
    observed = provenance.get("observed", {})
    for sign in needs:
        least, seen = 2 if sign == "prefills_of_a_prompt" else 1, observed.get(sign, 0)
        if seen < least:
            return f"{sign.replace('_', ' ')}: {seen} in this run, at least {least} show the feature"
    return None


def unconfirmed(
    variant: str, options: dict[str, Any], envs: Mapping[str, str], provenance: dict[str, Any]
) -> str | None:
    """What of a variant's changes no sign shows, by name; None where the run shows that it took effect.

    That a variable was in the engine's environment, or an option among its arguments, shows nothing: the engine may
    know neither.

    Args:
        variant: its name.
        options: what was changed of base's.
        envs: environment variables that were set.
        provenance: of the candidate's trace, with what was effective and observed.
    """
    known = CATALOGUE.get(variant)
    if known is not None and known.needs not in (None, "graph"):
        return None  # without its sign it would not be judged at all
    told = {name for name, *_ in _told(options, provenance)} | {"enforce_eager", *_IMPLIED}
    left = [name for name, value in _flat(options) if name not in told and value is not None]
    silent = known is not None and known.silent
    if silent:
        left = [name for name, _ in _flat(options)]
    # In the catalogue a variable beside an option is the same switch.
    if known is None or silent or not options or left:
        left += envs
    return ", ".join(left) or None


def _told(options: dict[str, Any], provenance: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Options of which the engine says what they became: name, what was asked, what is effective."""
    effective = provenance.get("effective", {})
    # vLLM hands `additional_config` on unread; what vLLM-Ascend made of it is in its own config.
    known = {**effective, **effective.get("ascend_config", {})}
    for name, value in (*options.items(), *_flat(options)):
        if name in known:
            yield name, value, known[name]


def _flat(options: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Options one by one, those of sections by their own names."""
    for name, value in options.items():
        if name in ("compilation_config", "additional_config") and isinstance(value, dict):
            yield from value.items()
        else:
            yield name, value


def follows(asked: Any, effective: Any) -> bool:
    """Whether what is effective is what was asked; None asks for vLLM's own default, of a mapping each entry counts."""
    if isinstance(asked, dict) and isinstance(effective, dict):
        return all(follows(value, effective.get(key)) for key, value in asked.items())
    if isinstance(asked, str) and isinstance(effective, str):
        return asked.upper() == effective.upper()  # vLLM takes names of modes in either case
    return asked is None or asked == effective
