"""What this report does not show, of this run and of any."""

from npu_conformance.report.rows import variant_rows
from npu_conformance.report.sections.blocks import Items, Section
from npu_conformance.report.sections.performance import speed_of
from npu_conformance.report.sections.view import View


def section(view: View) -> Section:
    """Always there."""
    return Section("known_limits", view.t("known_limits"), (Items(tuple(known_limits(view))),))


def known_limits(view: View) -> list[str]:
    """A sentence each."""
    found = [view.t("twin_note")] if view.model.subject == "twin" else []
    base = view.base
    if base is not None:
        platform = str(base.candidate.get("platform", "—"))
        found += [view.t("limit_no_npu").format(platform=platform)] if platform != "npu" else []
        found.append(view.t("limit_sample").format(prompts=len(base.prompts), positions=base.positions))
    skipped = [row for row in variant_rows(view.model) if row.verdict == "skipped"]
    for row in skipped:
        why = view.phrase((row.deciding.message if row.deciding else None) or "—")
        found.append(view.t("limit_skipped").format(name=row.name, why=why))
    if view.model.not_judged:
        found.append(view.t("partial_note").format(count=len(view.model.not_judged)))
    return [*found, view.t("limit_any" if speed_of(view) is None else "limit_any_but_speed")]
