"""The results of a campaign as a page of Markdown."""

from collections.abc import Iterator

from npu_conformance.selftest.results import AtStrength, KindResult, Results


def table(results: Results) -> str:
    """Kinds with their strengths, what others' methods see of them, and the gates one by one."""
    return "\n".join(_lines(results)) + "\n"


def _lines(results: Results) -> Iterator[str]:
    always = [kind for kind in results.kinds if kind.always]
    yield f"Judged on {', '.join(results.subjects)}; strengths were fixed on {', '.join(results.development)}."
    yield f"{len(always)} of {len(results.kinds)} kinds are caught on every twin from the documented strength on."
    there = [kind.beyond[0] for kind in results.kinds]
    seen = [sum(getattr(one, method) for one in there) for method in ("caught", "first_tokens", "top_five")]
    yield (
        f"At that strength, of {sum(one.changed for one in there)} faults in twins the suite catches {seen[0]}, the "
        f"published reports' method (first tokens) {seen[1]}, vLLM's test method (top 5) {seen[2]}."
    )
    yield f"Forced decodes without a fault that are flagged: {results.false_alarms}."
    yield ""
    yield "| fault | documented | caught, of the twins it changed | each time by | first tokens | top 5 |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for kind in results.kinds:
        yield _row(kind)
    yield ""
    yield "| without the gate | faults that slip through the others, on any twin, those of development included |"
    yield "| --- | --- |"
    for one in results.ablation:
        yield f"| {one.gate} | {'; '.join(one.slips) or 'none'} |"


def _row(kind: KindResult) -> str:
    curve = ", ".join(f"{one.strength:g}: {one.caught}/{one.changed}" for one in kind.strengths)
    seen = [_share(kind.beyond, method) for method in ("first_tokens", "top_five")]
    by = dict.fromkeys(check for one in kind.beyond for check in one.each)
    return f"| {kind.about} | {kind.documented:g} | {curve} | {', '.join(by)} | {' | '.join(seen)} |"


def _share(strengths: tuple[AtStrength, ...], method: str) -> str:
    return f"{sum(getattr(one, method) for one in strengths)}/{sum(one.changed for one in strengths)}"
