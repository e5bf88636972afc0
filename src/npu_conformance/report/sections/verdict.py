"""The first screen: the verdict in a sentence with its confidence, what was run, what decided, and a few figures."""

from npu_conformance.checks import CHECKS
from npu_conformance.measure.results import Result
from npu_conformance.report.causes import Cause, causes
from npu_conformance.report.sections.blocks import Block, Cell, Fold, Items, Paragraph, Section, Table, Tile, Tiles
from npu_conformance.report.sections.view import View, number
from npu_conformance.report.unsettled import unsettled
from npu_conformance.report.values import interval, percent, remark, value
from npu_conformance.report.words import metric

_TILES = ("token_agreement", "error_over_floor", "relative_l2_mean", "cosine_mean", "kl_mean")
# Causes, and reasons to be inconclusive, that the first table has; the rest stands below.
_MOST_CAUSES = 3


def section(view: View) -> Section:
    """Always there."""
    blocks: list[Block] = [Paragraph(sentence(view), strong=True)]
    if view.model.subject == "twin":
        blocks.append(Paragraph(view.t("twin_note")))
    if view.model.not_judged:
        blocks.append(Paragraph(view.t("partial_note").format(count=len(view.model.not_judged))))
    if tiles := tuple(_tile(view, found) for name in _TILES if (found := view.find(name))):
        blocks.append(Tiles(tiles))
    blocks.append(Table(view.t("what_ran"), (view.t("item"), view.t("entry")), tuple(_ran(view))))
    if decided := tuple(_decided(view)):
        blocks.append(Table(view.t("what_decided"), (view.t("item"), view.t("entry")), decided))
    if (failed := failures(view)).rows:
        blocks.append(Fold(failed.caption, (failed,)))
    if view.model.not_judged:
        blocks.append(Fold(view.t("partial"), (Items(_not_judged(view)),)))
    return Section("verdict", view.t("verdict"), tuple(blocks))


def _not_judged(view: View) -> tuple[str, ...]:
    """A line a variant: its checks that were not selected."""
    found: dict[str, list[str]] = {}
    for one in view.model.not_judged:
        variant, _, name = one.partition(": ")
        found.setdefault(variant, []).append(name)
    return tuple(f"{variant}{view.t('colon')}{', '.join(names)}" for variant, names in found.items())


def failures(view: View) -> Table:
    """A row a figure that failed: what must hold, what was found, what is allowed, and the worst place."""
    columns = ("variant", "property", "observed", "limit", "n", "where")
    rows = tuple(
        (
            Cell(one.variant, "fail"), Cell(_property(view, one)),
            number(value(one, "observed")), number(value(one, "limit")), number(str(one.n or "—")),
            Cell(remark(one, view.language)),
        )
        for one in view.model.checks
        if one.verdict == "fail"
    )  # fmt: skip
    return Table(view.t("failures").format(count=len(rows)), tuple(map(view.t, columns)), rows)


def _property(view: View, one: Result) -> str:
    """What must hold, in a sentence, and the figure that does not."""
    known = CHECKS.get(one.check)
    what = one.check if known is None else known.question[view.language == "zh"].rstrip(".。")
    return view.t("property_of").format(what=what, figure=view.title(one))


def sentence(view: View) -> str:
    """The verdict with its confidence."""
    name = view.model.verdict
    if name == "pass":
        return view.t("sentence_pass").format(confidence=_confidence(view))
    if name == "fail":
        first = next(one for one in view.model.checks if one.verdict == "fail")
        found = causes(view.model)
        worst = found[0].first[0] if found and found[0].first else first
        where = view.t("sentence_layer").format(layer=found[0].layer) if found and found[0].layer else ""
        return view.t("sentence_fail").format(what=_measured(view, worst), variant=worst.variant, where=where)
    if name == "inconclusive":
        return view.t("sentence_inconclusive").format(confidence=_confidence(view))
    reason = next((one.message for one in view.model.checks if one.verdict == name and one.message), "")
    key = "sentence_error" if name == "error" else "sentence_skipped"
    return view.t(key).format(why=view.phrase(reason.splitlines()[0]) if reason else "")


def _confidence(view: View) -> str:
    parts = []
    agreement = view.model.agreement
    if agreement is not None:
        least = percent(agreement.adjusted.interval[0])
        parts.append(view.t("confidence_tokens").format(least=least, n=agreement.adjusted.n))
    over = view.find("error_over_floor")
    if over is not None:
        text = view.t("confidence_error" if over.interval else "confidence_error_alone")
        parts.append(text.format(observed=value(over, "observed"), interval=interval(over), limit=value(over, "limit")))
    return view.t("list_join").join(parts)


def _measured(view: View, check: Result) -> str:
    if check.observed is None:
        return view.phrase(check.message or check.check)
    return view.t("measured_is").format(
        what=view.title(check), observed=value(check, "observed"), limit=value(check, "limit")
    )


def _tile(view: View, check: Result) -> Tile:
    floor = view.t("tile_floor").format(floor=value(check, "floor")) if check.floor is not None else ""
    limit = view.t("tile_limit").format(limit=value(check, "limit")) if check.limit is not None else ""
    parts = [part for part in (floor, limit, f"n = {check.n}" if check.n is not None else "") if part]
    return Tile(metric(view.language, check.metric), value(check, "observed"), " · ".join(parts), check.verdict)


def _ran(view: View) -> list[tuple[Cell, ...]]:
    base, facts = view.base, view.model.facts
    rows = [(view.t("model"), facts.model if facts else view.model.name)]
    if base is not None:
        versions = base.candidate.get("versions", {})
        engine = base.candidate.get("engine", "vllm")
        version = next((f" {value}" for name, value in versions.items() if name.startswith(engine)), "")
        dtype = base.candidate.get("effective", {}).get("dtype", "—")
        device = base.candidate.get("device", "—")
        rows.append((view.t("candidate"), f"{engine}{version} · {device} · {dtype}"))
        setting = base.reference.get("setting", {})
        reference = f"{base.reference.get('engine', 'transformers')} · {setting.get('dtype', 'float32')}"
        rows.append((view.t("reference"), f"{reference} · {base.reference.get('device', '—')}"))
        prompts = view.t("ran_sample").format(prompts=len(base.prompts), positions=base.positions)
        rows.append((view.t("samples"), prompts))
    names = ", ".join(one.variant for one in view.model.variants) or "—"
    rows.append((view.t("variants"), names))
    return [(Cell(name), Cell(str(entry))) for name, entry in rows]


def _decided(view: View) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = []
    for cause in causes(view.model)[:_MOST_CAUSES]:
        rows += _cause(view, cause)
    for one in unsettled(view.model)[:_MOST_CAUSES]:
        rows.append(
            (
                Cell(", ".join(one.checks), "inconclusive"),
                Cell(f"{', '.join(one.variants)}{view.t('colon')}{view.phrase(one.why)}"),
            )
        )
    if not rows and view.model.verdict == "pass" and (nearest := _nearest(view)):
        text = view.t("nearest").format(what=_measured(view, nearest), variant=nearest.variant)
        rows.append((Cell(view.t("nearest_limit")), Cell(text)))
    return rows


def _cause(view: View, cause: Cause) -> list[tuple[Cell, ...]]:
    found = [(view.t("failed_in"), ", ".join(cause.variants))]
    if cause.changes:
        found.append((view.t("changes"), view.phrase(cause.changes)))
    if cause.layer:
        found.append((view.t("first_layer"), cause.layer))
    if token := _first_token(view, cause.variants[0]):
        found.append((view.t("first_token"), token))
    if cause.points_at:
        found.append((view.t("implicates"), view.phrase(cause.points_at)))
    for one in cause.first:
        found.append((view.t("look_first"), f"{one.check}: {_measured(view, one)}"))
        if one.where:
            found.append((view.t("where"), view.phrase(one.where)))
    if cause.follows:
        found.append((view.t("may_follow"), ", ".join(cause.follows)))
    return [(Cell(name, "fail" if place == 0 else ""), Cell(text)) for place, (name, text) in enumerate(found)]


def _first_token(view: View, variant: str) -> str | None:
    """The first token that rounding does not explain."""
    details = next((one for one in view.model.variants if one.variant == variant), None)
    if details is None or not details.mismatches:
        return None
    first = details.mismatches[0]
    text = view.t("first_token_text")
    return text.format(
        prompt=first.prompt, position=first.position, candidate=first.candidate, reference=first.reference
    )


def _nearest(view: View) -> Result | None:
    """Of the gates and figures that passed, the one that is nearest to its limit."""
    judged = [
        one
        for one in view.model.checks
        if one.verdict == "pass" and one.relation == "<=" and one.observed is not None and one.limit
    ]
    return max(judged, key=lambda one: (one.observed or 0) / (one.limit or 1), default=None)
