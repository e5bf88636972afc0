"""`npu-conformance merge` of two candidates' captures: two engines over the same tokens, without a reference."""

from pathlib import Path

import numpy as np
from rich.table import Table

from npu_conformance.checks.closeness import lower_bound
from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.figures import judge_figure
from npu_conformance.checks.pair import Pair
from npu_conformance.checks.saved import load_evidence
from npu_conformance.commands.captures.manifest import Manifest
from npu_conformance.commands.console import console
from npu_conformance.config.limits import AGREEMENT_FIGURES, CLOSENESS_FIGURES
from npu_conformance.config.model import config_path, load_config
from npu_conformance.config.variants import CATALOGUE
from npu_conformance.errors import TraceError
from npu_conformance.measure.results import Path as EnginePath
from npu_conformance.measure.results import Result, worst
from npu_conformance.run.settings import Settings
from npu_conformance.traces.trace import PREFILL, load_trace

# What two sides tell of each other where one has likeliest words alone.
_OF_FEW_WORDS = ("matches", "top5", "kl")


def compare_engines(first: Path, second: Path, ours: Manifest, theirs: Manifest, settings: Settings) -> int:
    """Hold one engine against another by the published figures, in all variants in which both took the same tokens.

    Args:
        first: a candidate's capture.
        second: another's.
        ours: the manifest of the first.
        theirs: that of the second.
        settings: of the command line.

    Returns:
        0 where no figure breaks its limit, else 1.

    Raises:
        TraceError: they have not the same tokens of base, or logits that are not finite; says where.
    """
    _check_base(first, second, ours, theirs)
    config = load_config(config_path(settings.configs, ours.model))
    sides = (first.name, second.name) if first.name != second.name else (str(first), str(second))
    left_out = _left_out(ours, theirs, sides)
    checks: list[Result] = []
    for variant in (name for name in ours.variants if name not in left_out):
        other = load_trace(second / theirs.traces / variant / "candidate")
        evidence = load_evidence(first / ours.traces, variant, config, reference=other)
        checks += _figures(evidence, Pair(evidence.candidate, other, other, sides), "decode")
        prefills = [trace.part(PREFILL) for trace in (evidence.candidate, other)]
        if prefills[0] is not None and prefills[1] is not None:
            checks += _figures(evidence, Pair(prefills[0], prefills[1], other, sides), "prefill")
        elif prefills != [None, None]:
            left_out[f"{variant}, prefill"] = f"only {sides[prefills[0] is None]} has it"
    _print(ours, sides, checks, left_out)
    return int(worst(check.verdict for check in checks) == "fail")


def _check_base(first: Path, second: Path, ours: Manifest, theirs: Manifest) -> None:
    for folder, manifest in ((first, ours), (second, theirs)):
        if "base" not in manifest.tokens:
            raise TraceError(
                f"{folder}: has no base, in which two engines are compared, only {', '.join(manifest.variants)}: "
                "capture it again with base among its --variants"
            )
    if ours.tokens["base"] != theirs.tokens["base"]:
        raise TraceError(
            f"{first} and {second}: the engines chose other tokens, so their positions cannot be compared: capture the "
            f"second with --tokens {first}"
        )


def _left_out(ours: Manifest, theirs: Manifest, sides: tuple[str, str]) -> dict[str, str]:
    """Variants that cannot be compared, and why."""
    found = {}
    for variant in dict.fromkeys((*ours.variants, *theirs.variants)):
        mine, other = ours.tokens.get(variant), theirs.tokens.get(variant)
        if mine is None or other is None:
            found[variant] = f"only {sides[mine is None]} has it"
        elif mine != other:
            found[variant] = "the engines chose other tokens"
        elif variant in CATALOGUE and CATALOGUE[variant].tokens_only:
            found[variant] = "has no logits, and the same tokens"
    return found


def _figures(evidence: Evidence, pair: Pair, path: EnginePath) -> list[Result]:
    _check_finite(evidence.variant, pair, path)
    figures = [*AGREEMENT_FIGURES, *CLOSENESS_FIGURES]
    few = "topk" in (pair.candidate.rows, pair.reference.rows)
    found = {
        figure: judge_figure(evidence, pair, "two engines", figure, path=path)
        for figure in figures
        if not few or figure.of in _OF_FEW_WORDS
    }
    return [lower_bound(one) if few and figure.of == "kl" else one for figure, one in found.items()]


def _check_finite(variant: str, pair: Pair, path: str) -> None:
    comparison = pair.comparison
    for side, finite in zip(pair.sides, (comparison.finite, comparison.reference_finite), strict=True):
        if len(bad := np.flatnonzero(~finite)):
            prompt, step = comparison.locate(int(bad[0]))
            raise TraceError(
                f"{side}: {variant}, {path}: logits that are not finite at {len(bad)} of {len(comparison)} positions, "
                f"first at {comparison.prompts[prompt]}, position {step}: nothing can be compared with them; correct "
                "that engine, and capture it again"
            )


def _print(manifest: Manifest, sides: tuple[str, str], checks: list[Result], left_out: dict[str, str]) -> None:
    out = console()
    kind = " (twin, not the model)" if manifest.subject == "twin" else ""
    table = Table(title=f"{manifest.model}{kind}: {sides[0]} against {sides[1]}", box=None, pad_edge=False)
    for name in ("variant", "path", "figure", "observed", "limit", "n", "verdict"):
        table.add_column(name, overflow="fold")
    for check in checks:
        limit = "—" if check.limit is None else f"{check.relation} {check.limit:g}"
        table.add_row(
            check.variant, check.path, check.metric, f"{check.observed:.6g}", limit, str(check.n), check.verdict
        )
    out.print(table)
    for check in checks:
        if check.verdict == "fail":
            out.print(f"{check.variant}, {check.path}, {check.metric}: worst at {check.where}", soft_wrap=True)
    for name, why in left_out.items():
        out.print(f"{name}: not compared: {why}", soft_wrap=True)
