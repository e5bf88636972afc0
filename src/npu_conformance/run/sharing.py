"""Which engines follow one another in one process, and which get one of their own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from npu_conformance.config.engines import engine
from npu_conformance.config.variants import CATALOGUE, ranks
from npu_conformance.machine.devices import Platform


def may_share(
    variant: str, options: dict[str, Any], candidate: str, platform: Platform, envs: Mapping[str, str]
) -> bool:
    """Whether an engine may follow another in one process: on an accelerator only a process's end frees all.

    Args:
        variant: its name.
        options: its engine options.
        candidate: the engine under test, as `--candidate` names it.
        platform: what it runs on.
        envs: environment variables of its own, which a process has from its start to its end.
    """
    known = CATALOGUE.get(variant)
    # One is to be fresh, the other leaves vLLM's module state behind.
    alone = known is not None and (known.bitwise or known.tokens_only)
    on_host = engine(candidate).kv_cache and platform == "cpu"
    return on_host and not alone and not envs and ranks(options) == 1


def processes(variants: Sequence[str], shares: Callable[[str], bool]) -> list[list[str]]:
    """Variants in the order in which they run, by process.

    Args:
        variants: in order; those that share are in the process of the first of them.
        shares: whether a variant may share one.
    """
    found: list[list[str]] = []
    shared: list[str] = []
    for variant in variants:
        if not shares(variant):
            found.append([variant])
            continue
        if not shared:
            found.append(shared)
        shared.append(variant)
    return found
