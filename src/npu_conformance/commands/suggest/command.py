"""`npu-conformance dev suggest`: from a run's traces to the limits that they support."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.figures import judged_equal
from npu_conformance.checks.pair import Pair
from npu_conformance.checks.saved import load_base, load_evidence
from npu_conformance.commands.compare.runs import held
from npu_conformance.commands.console import console, plain_table
from npu_conformance.commands.suggest.edit import diff, edited
from npu_conformance.commands.suggest.rules import (
    AGREEMENT,
    CHANCE,
    EXTREMES,
    KNOWN,
    MEANS,
    Sample,
    Supported,
    supported,
)
from npu_conformance.config.limits import FIGURES, SCHEME_LIMITS
from npu_conformance.config.model import ModelConfig, config_path, load_config
from npu_conformance.config.variants import needs_base, scored_with
from npu_conformance.errors import TraceError
from npu_conformance.measure.comparison import require_finite
from npu_conformance.measure.floor import load_floor, load_quantised
from npu_conformance.report.model import load_report
from npu_conformance.traces.sealed import require_sealed

# Figures by which variants are held against base.
_AGAINST_BASE = ("relative_l2_mean", "relative_l2_max", "kl_mean")
_NOTE = (
    f"chance that another run like this one breaks a limit below: 1 in {1 / CHANCE:.0f}; comparisons of too few "
    "positions to reckon with only keep it in this run. Limits in units of the noise floor, of layers and of spread "
    "stay."
)


def suggest(model: str, report: Path, configs: Path) -> int:
    """Print what a run supports and the diff of the config, which is left as it is; 0 in any case.

    Args:
        model: name of its config.
        report: folder of a run with traces of it.
        configs: folder of model configs.

    Raises:
        ConfigError: the config cannot be read.
        TraceError: there are no traces of the model, they were changed since their run, or they cannot be compared.
    """
    path = config_path(configs, model)
    config, kept = load_config(path), held(report)
    if model not in kept:
        raise TraceError(f"{report}: has traces of {', '.join(kept)} only, none of {model}; run it")
    require_sealed(report / "traces" / model, kept[model])
    found: dict[str, list[Sample]] = {}
    used, told = [], []
    for variant in kept[model]:
        try:
            evidence = _evidence(report / "traces" / model, variant, config)
            samples = list(_samples(evidence))
        except TraceError as error:
            told.append(f"{variant}: left out: {error}")
            continue
        used.append(f"{variant} ({len(evidence.candidate.answers)} prompts)")
        for name, sample in samples:
            found.setdefault(name, []).append(sample)
    if not used:
        raise TraceError(f"{report}: no variant of {model} can be judged: {'; '.join(told)}")
    default = config.model_copy(update={"limits": {}})
    rows = [
        supported(name, found[name], current, default.limit(name), CHANCE)
        for name in KNOWN
        if (current := config.limit(name)) is not None and name in found
    ]
    out = console()
    warning = _failed(report, model)
    out.print(*warning, f"from {', '.join(used)} of {report}", *told, _NOTE, "", sep="\n", soft_wrap=True)
    out.print(_table(rows))
    text = path.read_text(encoding="utf-8")
    changed = diff(text, edited(text, [one for one in rows if one.limit is not None]), path.as_posix())
    print("\n" + (changed or "nothing to change\n"), end="")  # as it is: rich would expand tabs
    return 0


def _evidence(traces: Path, variant: str, config: ModelConfig) -> Evidence:
    """A variant that the config has, and whose engine did what makes it one."""
    if variant not in config.variant_names:
        raise TraceError("the config has no such variant")
    base = load_base(traces) if needs_base(variant) else None
    scored = traces / scored_with(variant)
    floor, quantised = load_floor(scored), load_quantised(scored)
    evidence = load_evidence(traces, variant, config, base=base, noise=floor, quantised=quantised)
    if (why := evidence.no_effect) is not None or evidence.tokens_only:
        raise TraceError(why or "its logits could not be seen")
    return evidence


def _samples(evidence: Evidence) -> Iterator[tuple[str, Sample]]:
    """Each figure there is a rule for, in each comparison that the limit in the config holds for."""
    scheme = evidence.config.scheme
    own = () if scheme is None else SCHEME_LIMITS[scheme]
    for where, pair, names in _pairs(evidence):
        comparison = pair.comparison
        require_finite(comparison)
        for name in names:
            if pair.same_weights and name in own and evidence.quantised is None:
                continue  # the dtype's default holds there
            metric = (MEANS | EXTREMES).get(name)
            # Of tokens, as they are judged: a tie is no mismatch.
            values = comparison.values[metric] if metric else judged_equal(evidence, pair).astype(np.float64)
            losses = 1 - values if FIGURES[name].sense == "min" else values
            yield name, Sample(f"{evidence.variant}, {where}", comparison.bounds, losses)
    if own or not (cases := evidence.candidate.cases()):
        return
    distances = np.array([case.distance for case in cases])
    yield "relative_l2_max", Sample(f"{evidence.variant}, other batches", (0, len(distances)), distances)


def _pairs(evidence: Evidence) -> Iterator[tuple[str, Pair, tuple[str, ...]]]:
    """What is compared in a variant, and the figures that are judged there."""
    closeness = (*MEANS, *EXTREMES)
    yield "decode", evidence.pair, closeness if evidence.long_texts else (AGREEMENT, *closeness)
    for where, pair, names in (
        ("prefill", evidence.prefill, closeness),
        ("decode against prefill", evidence.own_prefill, closeness),
        ("against base", evidence.against_base, _AGAINST_BASE),
        ("against base, cold", evidence.cold_against_base, _AGAINST_BASE),
        ("against base, at block-boundary prompts", evidence.boundary_against_base, _AGAINST_BASE),
    ):
        if pair is not None:
            yield where, pair, names
    # A limit below what rounding alone costs would fail kernels that are as correct.
    if evidence.no_floor is None and evidence.noise is not None and not needs_base(evidence.variant):
        for name in evidence.floor:
            reference, found = evidence.reference, evidence.noise.runs[name].comparison
            yield f"noise floor {name}", Pair(reference, reference, reference, found=found), closeness


def _table(rows: Sequence[Supported]) -> Table:
    table = plain_table("figure", "limit now", "observed", "supported", "why")
    for one in rows:
        new = "—" if one.limit is None else f"{one.limit:.8g}"
        table.add_row(one.figure.name, f"{one.current:.8g}", f"{one.observed:.8g}", new, one.why)
    return table


def _failed(report: Path, model: str) -> list[str]:
    """A warning where the run's own report is of a model that failed."""
    if not (report / "report.json").is_file():
        return []
    try:
        found = load_report(report).models
    except TraceError as error:
        return [f"WARNING: whether the run passed is not known: {error}"]
    verdict = next((one.verdict for one in found if one.name == model), None)
    if verdict not in ("fail", "error"):
        return []
    return [f"WARNING: the report's verdict is {verdict}: find the cause first, a limit must not be fitted to a fault"]
