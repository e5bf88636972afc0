"""The feature matrix that published reports and hand-ins have: what works, fails, was not run, or is nothing to ask.

Each row names its evidence: the variants of this run that show it. Nothing else is taken for evidence.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from npu_conformance.config.variants import CATALOGUE
from npu_conformance.report.rows import VariantRow, variant_rows
from npu_conformance.report.sections.blocks import Cell, Mark, Section, Table
from npu_conformance.report.sections.view import View
from npu_conformance.report.values import percent
from npu_conformance.report.words.features import STATES

Options = Mapping[str, Any]
"""Engine options that a variant has."""


@dataclass(frozen=True)
class Feature:
    """A row of the matrix."""

    name: str
    """Key of its words."""
    shows: Callable[[VariantRow, Options], bool]
    """Whether a variant is evidence of it."""


@dataclass(frozen=True)
class State:
    """What this run says of a feature."""

    name: str
    mark: Mark
    """`pass` works, `fail` fails, `inconclusive`, `skipped` not run, `not_applicable`."""
    evidence: str
    variants: tuple[str, ...] = ()
    """Those that are its evidence."""


def _speculative(options: Options) -> str:
    return str((options.get("speculative_config") or {}).get("method", ""))


FEATURES = (
    Feature("eager", lambda row, _: row.name == "base"),
    Feature("aclgraph", lambda row, _: row.name == "xlite_graph" or row.name.startswith("graph")),
    Feature("chunked_prefill", lambda _, options: bool(options.get("enable_chunked_prefill"))),
    Feature("prefix_caching", lambda _, options: bool(options.get("enable_prefix_caching"))),
    Feature("tensor_parallel", lambda _, options: _at_least_two(options.get("tensor_parallel_size"))),
    Feature("expert_parallel", lambda _, options: bool(options.get("enable_expert_parallel"))),
    Feature("lora", lambda _, options: bool(options.get("enable_lora"))),
    Feature("spec_decode", lambda _, options: bool(_speculative(options)) and "mtp" not in _speculative(options)),
    Feature("mtp", lambda _, options: "mtp" in _speculative(options)),
    Feature("multimodal", lambda row, _: row.name.startswith("multimodal")),
    Feature("serving", lambda row, _: row.name == "serving"),
    Feature("max_length", lambda row, _: row.name == "long_prompt"),
)  # fmt: skip
"""Those that variants show, in the order of the published reports."""


def section(view: View) -> Section | None:
    """None where no variant was run or skipped."""
    if not view.model.checks and not view.model.variants:
        return None
    return Section("features", view.t("features"), (feature_table(view, short=True),))


def feature_table(view: View, *, short: bool = False) -> Table:
    """A row a feature: what this run says of it, and by which variants.

    Args:
        view: of the model.
        short: whether features that no variant shows share a row.
    """
    found = states(view)
    silent = [one for one in found if one.evidence == view.t("feature_no_variant")] if short else []
    if len(silent) > 1:
        joined = State(", ".join(one.name for one in silent), "skipped", silent[0].evidence)
        found = [*(one for one in found if one not in silent), joined]
    rows = tuple(
        (Cell(one.name), Cell(STATES[one.mark][view.language == "zh"], one.mark), Cell(one.evidence or "—"))
        for one in found
    )
    return Table(view.t("features"), tuple(map(view.t, ("feature", "verdict", "evidence"))), rows)


def states(view: View) -> list[State]:
    """All features, then the variants that are evidence of none of them."""
    rows = variant_rows(view.model)
    found = [_loading(view), _weights(view), *(_of_variants(view, one, rows) for one in FEATURES)]
    used = {name for one in found for name in one.variants}
    return [*found, *(_other(view, row) for row in rows if row.name not in used)]


def _loading(view: View) -> State:
    """Whether any engine of the model started."""
    started = tuple(one.variant for one in view.model.variants if one.candidate)
    broke = next((one for one in view.model.checks if one.variant == "base" and one.verdict == "error"), None)
    name = view.t("feature_load")
    architecture = str(view.model.facts.architecture.get("architecture", "")) if view.model.facts else ""
    if started:
        return State(name, "pass", view.t("feature_loaded").format(what=architecture, variant=started[0]))
    if broke is not None:
        return State(name, "fail", view.phrase((broke.message or broke.check).splitlines()[0]))
    return State(name, "skipped", view.t("feature_no_variant"))


def _weights(view: View) -> State:
    """Whether what was loaded are the model's own weights: a stand-in shows the path, not the model."""
    real = view.model.subject == "real" and bool(view.model.variants)
    key = "feature_real_weights" if real else "feature_twin_weights" if view.model.subject == "twin" else ""
    digest = view.model.facts.weights_digest if view.model.facts else ""
    told = view.t(key).format(digest=digest) if key else view.t("feature_no_variant")
    return State(view.t("feature_weights"), "pass" if real else "skipped", told)


def _of_variants(view: View, feature: Feature, rows: list[VariantRow]) -> State:
    name, shown = view.t(f"feature_{feature.name}"), [row for row in rows if feature.shows(row, _options(row))]
    if feature.name == "lora" and view.model.facts is not None and view.model.facts.adapter:
        return _own_lora(view, name)
    used = tuple(row.name for row in shown)
    if feature.name == "aclgraph" and shown and (other := _other_platform(view)):
        told = view.t("feature_other_graph").format(platform=other, said=_joined(view, shown))
        return State(name, "skipped", told, used)
    if not shown:
        why = _nothing_to_ask(view, feature.name)
        return State(name, "not_applicable" if why else "skipped", view.t(why or "feature_no_variant"))
    return State(name, _mark(shown), _joined(view, shown), used)


def _own_lora(view: View, name: str) -> State:
    """Of a model that is served with a LoRA, whose effect a check of its own holds against the reference's."""
    verdict = view.verdicts.get(("base", "adapter_effect"), "skipped")
    marks: dict[str, Mark] = {"pass": "pass", "fail": "fail", "error": "fail", "inconclusive": "inconclusive"}
    told = f"base: adapter_effect: {view.said(verdict)}"
    return State(name, marks.get(verdict, "skipped"), told, ("lora",))


def _mark(rows: list[VariantRow]) -> Mark:
    """The worst of what ran; not run where nothing did, or had no effect."""
    verdicts = [row.verdict for row in rows if not row.no_effect]
    if any(one in ("fail", "error") for one in verdicts):
        return "fail"
    for mark in ("inconclusive", "pass"):
        if mark in verdicts:
            return mark
    return "not_applicable" if verdicts and set(verdicts) == {"not_applicable"} else "skipped"


def _other(view: View, row: VariantRow) -> State:
    name = f"{row.name}: {view.phrase(row.changes)}" if row.changes else row.name
    return State(name, _mark([row]), _said(view, row), (row.name,))


def _nothing_to_ask(view: View, feature: str) -> str | None:
    """Key of why a model has nothing of a feature, as this run saw it; None where it may have."""
    base = view.base
    if base is None:
        return None
    if feature == "expert_parallel" and base.candidate.get("observed", {}).get("experts") == 0:
        return "feature_dense"
    architecture = str(view.model.facts.architecture.get("architecture", "")) if view.model.facts else ""
    if feature == "multimodal" and architecture.endswith("ForCausalLM"):
        return "feature_text_only"
    return None


def _other_platform(view: View) -> str | None:
    platform = str(view.base.candidate.get("platform", "")) if view.base else ""
    return platform if platform and platform != "npu" else None


def _options(row: VariantRow) -> Options:
    """What a variant was asked for, or would have been: of the catalogue's, and of those that ran, all."""
    asked = dict(row.details.candidate.get("asked", {})) if row.details else {}
    known = CATALOGUE[row.name].options if row.name in CATALOGUE else {}
    return known if row.name in CATALOGUE else asked


def _at_least_two(size: Any) -> bool:
    return isinstance(size, int) and size > 1


def _joined(view: View, rows: list[VariantRow]) -> str:
    return "; ".join(_texts(view, rows))


def _texts(view: View, rows: list[VariantRow]) -> Iterator[str]:
    for row in rows:
        told = _said(view, row)
        yield row.name if told == "—" else told if told.startswith(f"{row.name}:") else f"{row.name}: {told}"


def _said(view: View, row: VariantRow) -> str:
    """The sample and the error; of what did not pass, why."""
    if row.no_effect:
        return view.phrase(row.no_effect)
    if row.verdict == "fail" and row.deciding is not None:
        return f"{row.deciding.check}: {view.title(row.deciding)}"
    if row.deciding is not None:
        return view.phrase(row.deciding.message or row.deciding.check)
    seen = row.shown
    if seen is not None and seen.same_answers is not None:
        return f"{seen.same_answers.equal}/{seen.same_answers.answers} {view.t('same_answers')}"
    if seen is None or row.error is None or row.agreement is None:
        passed = {one.check for one in view.checks(row.name) if one.verdict == "pass"}
        return view.t("feature_checks").format(count=len(passed)) if passed else "—"
    return view.t("feature_said").format(agreement=percent(row.agreement), error=percent(row.error), n=seen.positions)
