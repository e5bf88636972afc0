"""What checks of a server share: its record, base's tokens, and when two answers are the same."""

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.generated import difference
from npu_conformance.errors import TraceError
from npu_conformance.traces.serving import Said, Served, load_served
from npu_conformance.traces.trace import Trace


def record(evidence: Evidence) -> Served:
    """What the server was asked and said.

    Raises:
        TraceError: it cannot be read, or names prompts that the run has not.
    """
    served = load_served(evidence.candidate.folder)
    there = [one.prompt for one in evidence.candidate.answers]
    if [one.prompt for one in served.answers] != there or not there:
        raise TraceError(f"{evidence.candidate.folder}: the server's record is of other prompts than its trace")
    asked = {one.prompt for one in (*served.chat, *served.defaults.said, *served.without_adapter)}
    asked |= {one.said.prompt for found in (served.crowd, served.repeated, served.stops, served.cuts) for one in found}
    asked |= {one.whole.prompt for one in served.streams} | {one.prompt for one in served.firsts}
    asked |= {one.prompt for one in served.read}
    after = [one.after for one in (*served.refused, served.hung_up) if one is not None]
    asked |= {one.prompt for one in after if one is not None}
    if not asked <= set(there):
        raise TraceError(f"{evidence.candidate.folder}: the server's record names prompts that its trace has not")
    return served


def base_of(evidence: Evidence) -> Trace:
    """Base's trace: the offline engine's answers.

    Raises:
        TraceError: there is none.
    """
    if evidence.base is None:
        raise TraceError(f"{evidence.candidate.folder}: is held against no base")
    return evidence.base.candidate


def index_of(trace: Trace, prompt: str) -> int:
    """Place of a prompt.

    Raises:
        TraceError: the trace has not this prompt.
    """
    for place, answer in enumerate(trace.answers):
        if answer.prompt == prompt:
            return place
    raise TraceError(f"{trace.folder}: has no prompt {prompt}, which the server was asked")


def parts(evidence: Evidence, said: Said, whole: Said) -> str | None:
    """Where an answer parts from another to the same prompt; None where it does not, or where base has a tie."""
    if said.token_ids is None or whole.token_ids is None:
        return None if said.text == whole.text else f"{said.prompt}: {said.text!r}, expected {whole.text!r}"
    if said.token_ids == whole.token_ids:
        return None
    base = base_of(evidence)
    found = difference(evidence, base, index_of(base, said.prompt), said.token_ids)
    return None if found is None or found.tied else found.where
