"""What the engine's own log says of what it loaded."""

from pydantic import ValidationError

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import all_of, first, not_applicable
from npu_conformance.checks.registry import check
from npu_conformance.errors import TraceError
from npu_conformance.measure.results import Result
from npu_conformance.traces.trace import Trace
from npu_conformance.workers.log import WARNINGS, EngineLog


@check(
    chinese="引擎日志中没有任何一行表明它运行的是另一个模型。",
    metrics=("log_lines",),
    cause="input",
)
def engine_log(evidence: Evidence) -> list[Result]:
    """No line of the engine's log says that it runs another model than the checkpoint holds."""
    log = log_of(evidence.candidate)
    if log is None or not log.lines:
        why = "the engine's log is empty" if log else "the engine's log was not read"
        return [not_applicable(evidence, "engine_log", why)]
    broken = [
        f"{WARNINGS[one.name].meaning}: `{one.line}`; {WARNINGS[one.name].remedy}"
        for one in log.findings
        if one.name in WARNINGS and WARNINGS[one.name].fails
        for _ in range(min(one.times, log.lines))
    ]
    result = all_of(evidence, "engine_log", "log_lines", broken, first(broken), log.lines, path="none")
    part = None if log.whole else "only the beginning of a very long log was read"
    return [result.model_copy(update={"message": part})]


def log_of(trace: Trace) -> EngineLog | None:
    """What an engine's log said; None where it was not read.

    Raises:
        TraceError: the trace's provenance is damaged there.
    """
    try:
        told = trace.provenance.get("log")
        return None if told is None else EngineLog.model_validate(told)
    except (ValidationError, AttributeError) as error:
        raise TraceError(f"{trace.folder}: its provenance has a log that cannot be read: run it again") from error
