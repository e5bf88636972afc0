"""Bad requests and clients that go away: the server refuses them, frees what they held, and lives on."""

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.hard import all_of, first, not_applicable
from npu_conformance.checks.registry import check
from npu_conformance.checks.served_record import parts, record
from npu_conformance.measure.results import Result
from npu_conformance.traces.serving import Refused, Said, Served

_CHECK = "served_errors"


@check(
    chinese="服务器以 4xx 状态拒绝错误的请求，客户端中途断开后释放资源，并继续正确回答。",
    requires=("served",),
    metrics=("refused_requests", "answers_afterwards", "freed_requests"),
    cause="itself",
)
def served_errors(evidence: Evidence) -> list[Result]:
    """A bad request is refused with a status 4xx, a client that goes away holds nothing, and the server lives on."""
    served = record(evidence)
    wrong = [problem for one in served.refused if (problem := _not_refused(one)) is not None]
    asked = [(one.what, one.after) for one in served.refused]
    if served.hung_up is not None:
        asked.append(("a client that hung up", served.hung_up.after))
    changed = [f"after {what}: {problem}" for what, after in asked if (problem := _changed(evidence, served, after))]
    return [
        all_of(evidence, _CHECK, "refused_requests", wrong, first(wrong), len(served.refused), path="none"),
        all_of(evidence, _CHECK, "answers_afterwards", changed, first(changed), len(asked)),
        _freed(evidence, served),
    ]


def _not_refused(one: Refused) -> str | None:
    if one.status is None:
        return f"{one.what}: the server broke the connection: {one.told}"
    if not 400 <= one.status < 500:
        return f"{one.what}: expected a status 4xx, found {one.status}: {one.told}"
    return None if one.as_error else f"{one.what}: status {one.status} without an error in JSON: {one.told}"


def _changed(evidence: Evidence, served: Served, after: Said | None) -> str | None:
    """What became of the right request that follows a wrong one."""
    if after is None:
        return "a right request is not answered"
    whole = next(one for one in served.answers if one.prompt == after.prompt)
    if after.token_ids is None or whole.token_ids is None:
        return None if whole.text.startswith(after.text) else f"says {after.text!r}, before {whole.text!r}"
    rest = whole.token_ids[len(after.token_ids) :]
    return parts(evidence, after.model_copy(update={"token_ids": (*after.token_ids, *rest)}), whole)


def _freed(evidence: Evidence, served: Served) -> Result:
    if served.hung_up is None or served.hung_up.running is None:
        why = "the server does not tell at /metrics what it computes"
        return not_applicable(evidence, _CHECK, why, "freed_requests")
    left = [f"{served.hung_up.running} requests are still computed after their client went away"]
    broken = left if served.hung_up.running else []
    return all_of(evidence, _CHECK, "freed_requests", broken, first(broken), 1, path="none")
