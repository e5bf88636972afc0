"""From what a run left in a model's folder of traces to the evidence that its checks look at."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter

from npu_conformance.audit.audit import Audit
from npu_conformance.audit.scan import Scan
from npu_conformance.baselines.stored import Baseline, as_reference, read_baseline
from npu_conformance.checkpoints.inputs import Inputs
from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.pair import Pair
from npu_conformance.config.limits import FALSE_ALARMS
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.variants import is_long, scored_with
from npu_conformance.engines.rendering import load_rendered
from npu_conformance.errors import TraceError
from npu_conformance.measure.comparison import Comparison
from npu_conformance.measure.floor import FloorRun, NoiseFloor
from npu_conformance.measure.kept import COMPARISONS, save_comparison
from npu_conformance.measure.module_errors import MODULE_ERRORS, load_module_errors
from npu_conformance.traces.performance import load_performance
from npu_conformance.traces.reading import read_saved
from npu_conformance.traces.trace import Trace, load_trace

Result = TypeVar("Result", bound=BaseModel)
BASELINE = "baseline.json"
"""The baseline that a run was held against, beside its traces."""


def load_evidence(
    traces: Path,
    variant: str,
    config: ModelConfig,
    *,
    reference: Trace | None = None,
    base: Pair | None = None,
    noise: NoiseFloor | None = None,
    quantised: FloorRun | None = None,
    baseline: Baseline | None = None,
    outdated: str | None = None,
    replacing: bool = False,
    false_alarms: float = FALSE_ALARMS,
    prompts_there: int | None = None,
) -> Evidence:
    """What a run left in a model's folder of traces.

    Args:
        traces: the folder.
        variant: whose evidence it is.
        config: of the model.
        reference: what to hold the candidate against instead of the reference that the run left.
        base: see `load_base`; only for a variant that needs it.
        noise: see `load_floor`.
        quantised: see `load_quantised`.
        baseline: see `load_baseline`.
        outdated: why it is not given though there is one.
        replacing: whether the run is to take its place.
        false_alarms: the variant's share.
        prompts_there: see `Evidence`.

    Raises:
        TraceError: a part of it is missing or damaged.
    """
    if not (traces / variant).is_dir():
        there = sorted(path.parents[1].name for path in traces.glob("*/candidate/trace.json")) or ["none"]
        raise TraceError(
            f"{traces}: no traces of {variant}: the run did not select it, or ended before it. There are those of "
            f"{', '.join(there)}: select them by -k"
        )
    second, kept = traces / variant / "second_reference", traces / variant / COMPARISONS
    rendered = None if is_long(variant) else load_rendered(traces / "rendered.json")
    candidate = load_trace(traces / variant / "candidate")
    if rendered is not None and [one.id for one in rendered.prompts] != [one.prompt for one in candidate.answers]:
        raise TraceError(
            f"{traces / 'rendered.json'}: has other prompts, or in another order, than {candidate.folder}: not of the "
            "same run; run the model again"
        )
    return Evidence(
        variant=variant,
        config=config,
        prompts=() if rendered is None else rendered.prompts,
        second_ids=None if rendered is None else rendered.second_ids,
        candidate=candidate,
        reference=reference or _reference(traces, scored_with(variant), baseline),
        base=base,
        noise=noise,
        quantised=quantised,
        module_errors=load_module_errors(traces / variant / MODULE_ERRORS),
        false_alarms=false_alarms,
        prompts_there=prompts_there,
        second_reference=load_trace(second) if second.is_dir() else None,
        inputs=_saved(traces / "inputs.json", Inputs) if (traces / "inputs.json").is_file() else None,
        scan=_saved(traces / "scan.json", Scan),
        audit=_saved(traces / "audit.json", Audit) if (traces / "audit.json").is_file() else None,
        baseline=baseline,
        outdated=outdated,
        replacing=replacing,
        performance=load_performance(traces) if variant == "as_served" else None,
        kept=kept if kept.is_dir() else None,
        baseline_only=_baseline_only(traces, scored_with(variant), baseline),
    )


def keep_comparisons(traces: Path, evidence: Evidence) -> None:
    """Write what was compared of a variant beside its traces, so that it can be judged again without their rows.

    All of it or none: what could not be compared, or is not finite, is told of by rows, whichever tests were selected.
    """
    found = {name: pair.found for name, pair in evidence.pairs.items()}
    compared = {name: one for name, one in found.items() if isinstance(one, Comparison)}
    if compared.keys() != found.keys() or not all(_finite(one) for one in compared.values()):
        return
    for name, comparison in compared.items():
        save_comparison(traces / evidence.variant / COMPARISONS / f"{name}.npz", comparison)


def _finite(comparison: Comparison) -> bool:
    return bool((comparison.finite & comparison.reference_finite).all())


def load_base(traces: Path, baseline: Baseline | None = None) -> Pair:
    """Base against its reference: what other variants are held against, compared once for all of them.

    Raises:
        TraceError: a trace of it is missing or damaged.
    """
    reference = _reference(traces, "base", baseline)
    return Pair(load_trace(traces / "base" / "candidate"), reference, reference)


def load_baseline(traces: Path) -> Baseline | None:
    """The baseline that a run was held against; None where there was none.

    Raises:
        ConfigError: it is damaged.
    """
    path = traces / BASELINE
    return read_baseline(path) if path.is_file() else None


def _baseline_only(traces: Path, scored: str, baseline: Baseline | None) -> bool:
    """Whether a run took the baseline's tokens: of one that lost its reference some other way it knows nothing."""
    if baseline is None or (traces / scored / "reference").is_dir():
        return False
    return load_trace(traces / scored / "candidate").forced


def _reference(traces: Path, scored: str, baseline: Baseline | None) -> Trace:
    if baseline is not None and _baseline_only(traces, scored, baseline):
        return as_reference(baseline, traces / BASELINE)
    return load_trace(traces / scored / "reference")


def _saved(path: Path, kind: type[Result]) -> Result:
    return read_saved(path, TypeAdapter(kind))
