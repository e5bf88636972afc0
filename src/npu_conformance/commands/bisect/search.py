"""From a failing combination to a finding: features, then position, then layer."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from npu_conformance.checks import CHECKS
from npu_conformance.checks.closeness import breaks, three_way
from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.pair import Pair
from npu_conformance.commands.bisect.ddmin import smallest_failing
from npu_conformance.commands.bisect.finding import Finding
from npu_conformance.commands.bisect.layer import layer_findings
from npu_conformance.commands.bisect.position import Position, first_beyond, largest, worst
from npu_conformance.commands.bisect.runs import Runs
from npu_conformance.config.limits import LAYER_NORM
from npu_conformance.errors import ConfigError, ConformanceError
from npu_conformance.measure.results import Result
from npu_conformance.measure.three_way import IMPLICATES
from npu_conformance.report.words import title
from npu_conformance.run.model_run import ModelRun
from npu_conformance.traces.trace import BOUNDARY, Trace
from npu_conformance.workers.job import ForcedPart, Watched

_EVERYWHERE = "no position leaves by itself what rounding explains: the error is small and everywhere"
# What base must keep besides closeness before a feature can be at fault.
_OF_BASE = ("prefill_closeness", "decode_against_prefill", "hidden_states", "batch_determinism")
# Positions besides the failing one, whose states say how much a clean run scatters.
_CONTROLS = 7


def search(runs: Runs, model_run: ModelRun, evidence: Evidence) -> Finding | None:
    """Find out where a model begins to fail; None where neither base nor the combination of all features does.

    Args:
        runs: the engines, and what may be at fault; base was run.
        model_run: of the model.
        evidence: on base.

    Raises:
        ConformanceError: an engine failed in another way than in its numbers, or a feature had no effect.
    """
    if _failing(evidence, "greedy_determinism"):
        return _nondeterministic(runs, evidence)
    if breaks(evidence, evidence.pair) or _failing(evidence, *_OF_BASE):
        return _base_breaks(runs, model_run, evidence)
    features, fails = list(runs.features), partial(runs.fails, evidence)
    if not fails(frozenset(features)):
        if (why := runs.without_effect()) is not None:
            raise ConfigError(f"{evidence.config.model}: nothing was found, but a feature had no effect: {why}")
        return None
    return _features_break(runs, model_run, evidence, smallest_failing(features, fails))


def _features_break(runs: Runs, model_run: ModelRun, evidence: Evidence, subset: frozenset[str]) -> Finding:
    """Held against base, which holds; its distance from the reference says what rounding costs."""
    noise, pairs = largest(evidence.comparison.values["relative_l2"]), _parts(runs.evidence(evidence, subset))
    found = [position for part, pair in pairs.items() if (position := first_beyond(part, pair, noise))]
    position = found[0] if found else worst("answers", pairs["answers"], noise)
    finding = Finding(evidence.config.model, sorted(subset), position, remarks=() if found else (_EVERYWHERE,))
    pair = pairs[position.part]
    watched = _watched(position, pair.candidate)
    try:
        hooked, states = runs.states(subset, watched)
        _, clean = runs.states(frozenset(), [at._replace(part=_of_base(at.part)) for at in watched])
        reference = model_run.references.states(
            _prefixes(runs.base, watched), model_run.traces / "states.npz", "float32"
        )
    except ConformanceError as error:
        return finding.saying(f"no layer: {error}")
    finding = finding.with_layers(layer_findings(states, clean, reference, _allowed(evidence)))
    if not _still_there(hooked, pair.reference, position):
        return finding.saying("with the hook in place the fault is gone: it lives in what is fused across layers")
    return finding


def _base_breaks(runs: Runs, model_run: ModelRun, evidence: Evidence) -> Finding:
    """Held against the reference; the noise floor says what rounding costs."""
    config = evidence.config
    noise = max((float(np.exp(one.row.max())) for one in evidence.floor.values()), default=0.0)
    position = first_beyond("answers", evidence.pair, noise)
    remarks = [] if position or not breaks(evidence, evidence.pair) else [_EVERYWHERE]
    position = position or worst("answers", evidence.pair, noise)
    if (holding := three_way(evidence)) is not None and not all(holding):
        remarks.append(f"the three-way comparison points at {IMPLICATES[holding]}")
    remarks += [f"{title('en', one)}: {one.where}" for one in _failing(evidence, "batch_determinism")]
    finding = Finding(config.model, [], position, remarks=tuple(remarks))
    watched = _watched(position, evidence.candidate)
    prefixes = _prefixes(evidence.candidate, watched)
    try:
        _, states = runs.states(frozenset(), watched)
        reference = model_run.references.states(prefixes, model_run.traces / "states.npz", "float32")
        clean = model_run.references.states(prefixes, model_run.traces / "clean states.npz", config.serve.dtype)
    except ConformanceError as error:
        return finding.saying(f"no layer: {error}")
    return finding.with_layers(layer_findings(states, clean, reference, _allowed(evidence)))


def _nondeterministic(runs: Runs, evidence: Evidence) -> Finding:
    """Two forced decodes over the same tokens, which must not differ at all."""
    base: frozenset[str] = frozenset()
    pair = Pair(runs.forced(base), evidence.candidate, evidence.reference, ("again", "at first"))
    position = first_beyond("answers", pair, 0.0)
    finding = Finding(evidence.config.model, [], position, remarks=("the same request gives other logits",))
    if position is None:
        return finding.saying("it did not when base's tokens were forced: it happens now and then")
    watched = [Watched("answers", position.prompt, position.step)]
    try:
        _, states = runs.states(base, watched)
        _, again = runs.states(base, watched, " again")
    except ConformanceError as error:
        return finding.saying(f"no layer: {error}")
    return finding.with_layers(layer_findings(states, None, again))


def _parts(evidence: Evidence) -> dict[ForcedPart, Pair]:
    """A variant against base, by part of its trace."""
    pairs: dict[ForcedPart, Pair | None] = {
        "answers": evidence.against_base,
        "boundary": evidence.boundary_against_base,
        "cold": evidence.cold_against_base,
    }
    return {part: pair for part, pair in pairs.items() if pair is not None}


def _allowed(evidence: Evidence) -> float:
    return evidence.config.limit(LAYER_NORM.name) or 0.0


def _failing(evidence: Evidence, *checks: str) -> list[Result]:
    return [result for check in checks for result in CHECKS[check].judge(evidence) if result.verdict == "fail"]


def _watched(position: Position, trace: Trace) -> list[Watched]:
    """The failing position, and one of some other prompts of the same part, at the same step where they have it."""
    part = position.part
    others = [index for index in range(len(trace.answers)) if index != position.prompt][:_CONTROLS]
    steps = [min(position.step, len(trace.answers[index].token_ids) - 1) for index in others]
    controls = [Watched(part, index, step) for index, step in zip(others, steps, strict=True)]
    return [Watched(part, position.prompt, position.step), *controls]


def _of_base(part: ForcedPart) -> ForcedPart:
    """Where base takes the same tokens: it has no cache to fill."""
    return "answers" if part == "cold" else part


def _prefixes(base: Trace, watched: Sequence[Watched]) -> list[tuple[int, ...]]:
    """What each watched position sees: the prompt and the tokens before it."""
    probed = base.part(BOUNDARY)
    parts = {"answers": base.answers, "cold": base.answers, "boundary": probed.answers if probed else ()}
    answers = [(parts[at.part][at.prompt], at.step) for at in watched]
    return [(*answer.prompt_ids, *answer.token_ids[:step]) for answer, step in answers]


def _still_there(hooked: Trace, base: Trace, position: Position) -> bool:
    """Whether the position is as far from base with the hook in place."""
    trace = hooked if position.part == "answers" else hooked.part(position.part)
    if trace is None:
        return False
    comparison = Pair(trace, base, base).comparison
    distance = comparison.values["relative_l2"][comparison.bounds[position.prompt] + position.step]
    return not distance <= min(position.noise, position.distance / 2)
