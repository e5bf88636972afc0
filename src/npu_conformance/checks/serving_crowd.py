"""The server under many clients at once: each answer is the one that the same request gets alone."""

from collections.abc import Sequence

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import all_of, first, not_applicable
from npu_conformance.checks.registry import check
from npu_conformance.checks.served_record import parts, record
from npu_conformance.measure.results import Result
from npu_conformance.traces.serving import Said, Served, Times


@check(
    chinese="多个客户端并发时，每个回答的标签与单独请求时相同。",
    requires=("served",),
    metrics=("concurrent_labels",),
)
def concurrent_labels(evidence: Evidence) -> list[Result]:
    """With many clients at once every answer has the label that the same request gets alone."""
    served, pattern = record(evidence), evidence.config.labels
    if pattern is None:
        return [not_applicable(evidence, "concurrent_labels", "the model config has no labels.pattern")]
    labelled, alone = {prompt.id for prompt in evidence.prompts if prompt.labels}, _alone(served)
    asked = [one for one in (*served.crowd, *served.repeated) if one.said.prompt in labelled]
    if not asked:
        return [not_applicable(evidence, "concurrent_labels", "no prompt has labels")]
    other = [one for one in asked if pattern.parse(one.said.text) != pattern.parse(alone[one.said.prompt].text)]
    # A tie may fall on the label itself; then both are the engine's, and the message counts them.
    flipped = [one for one in other if _unlike(evidence, one.said, alone[one.said.prompt]) is not None]
    wrong = [
        f"{one.said.prompt}: {pattern.parse(one.said.text)} {one.times} times among {served.clients} clients, "
        f"{pattern.parse(alone[one.said.prompt].text)} alone"
        for one in flipped
    ]
    n = sum(one.times for one in asked)
    result = all_of(
        evidence, "concurrent_labels", "concurrent_labels", range(sum(one.times for one in flipped)), first(wrong), n
    )
    ties = sum(one.times for one in other) - sum(one.times for one in flipped)
    return [result.model_copy(update={"message": f"{ties} labels differ at a tie"}) if ties else result]


@check(
    chinese="多个客户端并发时，以及同一请求在其他请求之间重复五十次时，回答与单独请求时相同。",
    requires=("served",),
    metrics=("concurrent_answers", "repeated_answers"),
)
def concurrent_answers(evidence: Evidence) -> list[Result]:
    """With many clients at once, and asked fifty times among others, a request gets the answer that it gets alone."""
    served = record(evidence)
    return [
        _same(evidence, served, served.crowd, "concurrent_answers"),
        _same(evidence, served, served.repeated, "repeated_answers"),
    ]


def _same(evidence: Evidence, served: Served, found: Sequence[Times], metric: str) -> Result:
    alone = _alone(served)
    wrong = [(one, problem) for one in found if (problem := _unlike(evidence, one.said, alone[one.said.prompt]))]
    told = [f"{problem} ({one.times} times)" for one, problem in wrong]
    broken, n = sum(one.times for one, _ in wrong), sum(one.times for one in found)
    result = all_of(evidence, "concurrent_answers", metric, range(broken), first(told), n)
    other = sum(one.times for one in found if one.said.token_ids != alone[one.said.prompt].token_ids) - broken
    return result.model_copy(update={"message": f"{other} part from the answer alone at a tie"}) if other else result


def _unlike(evidence: Evidence, said: Said, alone: Said) -> str | None:
    """Where an answer is not the one alone; no tie explains another text of the same tokens."""
    if said.token_ids == alone.token_ids and said.text != alone.text:
        return f"{said.prompt}: says {said.text!r}, alone {alone.text!r}, of the same tokens"
    return parts(evidence, said, alone)


def _alone(served: Served) -> dict[str, Said]:
    return {one.prompt: one for one in served.answers}
