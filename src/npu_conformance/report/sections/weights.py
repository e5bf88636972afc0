"""The model as its files say it is: parameters, files, conversion, and statistics of its weights."""

from pathlib import PurePath

from npu_conformance.audit.statistics import TensorStatistics
from npu_conformance.checkpoints.published_digests import FileDigest
from npu_conformance.report.sections.blocks import Block, Cell, Fold, Section, Table
from npu_conformance.report.sections.view import View, number
from npu_conformance.report.values import percent
from npu_conformance.report.words.parameters import PARAMETERS


def section(view: View) -> Section | None:
    """None where the files were never read."""
    facts = view.model.facts
    if facts is None:
        return None
    blocks: list[Block] = [parameter_table(view)]
    blocks += [table for table in (conversion_table(view), audit_table(view)) if table.rows]
    files = (_files(view, "files", facts.files), _files(view, "reference_files", facts.reference_files))
    folded = [*(table for table in files if table.rows), *statistics_tables(view)]
    if facts.findings:
        found = tuple((Cell(view.phrase(one)),) for one in facts.findings)
        folded.append(Table(view.t("finding"), (view.t("finding"),), found))
    blocks += [Fold(view.t("files_statistics"), tuple(folded))] if folded else []
    return Section("weights", view.t("weights_section"), tuple(blocks))


def parameter_table(view: View) -> Table:
    """Architecture and digests."""
    facts = view.model.facts
    entries = (
        []
        if facts is None
        else [(parameter_name(view, key), _value(key, one)) for key, one in facts.architecture.items()]
    )
    if facts is not None:
        entries += [(view.t("weights_digest"), facts.weights_digest), (view.t("config_digest"), facts.config_digest)]
        if facts.reference_digest != facts.weights_digest:
            entries.append((view.t("reference_digest"), facts.reference_digest))
        if facts.adapter:
            name = facts.adapter_model or PurePath(facts.adapter).name
            entries.append(("LoRA", f"{name} ({facts.adapter_digest})"))
    rows = tuple((Cell(name), Cell(entry)) for name, entry in entries)
    return Table(view.t("facts"), (view.t("item"), view.t("entry")), rows)


def conversion_table(view: View) -> Table:
    """What converting weights cost."""
    cost = (view.model.facts.conversion if view.model.facts else None) or {}
    rows = tuple((Cell(parameter_name(view, key)), Cell(_value(key, one))) for key, one in cost.items())
    return Table(view.t("conversion"), (view.t("item"), view.t("entry")), rows)


def audit_table(view: View) -> Table:
    """Weights as they are loaded against the published ones."""
    found = view.model.facts.audit if view.model.facts else None
    entries = () if found is None else (
        ("audit_parameters", str(found.parameters)), ("audit_exact", str(found.exact)),
        ("audit_rms", percent(found.relative_rms)), ("audit_max", f"{found.max_abs:.3g}"),
        ("audit_mean", f"{found.mean_abs:.3g}"),
    )  # fmt: skip
    rows = [(Cell(view.t(name)), Cell(entry)) for name, entry in entries]
    rows += [
        (Cell(view.t("broken"), "fail"), Cell(view.phrase(problem))) for problem in (found.problems if found else [])
    ]
    return Table(view.t("audit"), (view.t("item"), view.t("entry")), tuple(rows))


def _files(view: View, heading: str, files: list[FileDigest]) -> Table:
    """Digests, and whether each is the published file's, by whose list."""
    rows = tuple(
        (
            Cell(one.name), Cell(one.sha256 or "—"),
            Cell(view.t(f"digest_{one.published}"), note=f"({one.source})" if one.source else ""),
        )
        for one in files
    )  # fmt: skip
    return Table(view.t(heading), (view.t("file"), "SHA-256", view.t("as_published")), rows)


def statistics_tables(view: View) -> list[Table]:
    """Statistics of some tensors, as loaded and as published."""
    return [_statistics(view, *one) for one in _shown(view)]


def _shown(view: View) -> list[tuple[str, list[TensorStatistics]]]:
    facts = view.model.facts
    pairs = (
        [] if facts is None else [("weights_loaded", facts.weights_shown), ("weights_published", facts.published_shown)]
    )
    return [(heading, tensors) for heading, tensors in pairs if tensors]


def _statistics(view: View, heading: str, tensors: list[TensorStatistics]) -> Table:
    columns = (
        view.t("tensor"),
        view.t("shape"),
        "dtype",
        *map(view.t, ("mean", "std", "range", "near_zero", "operator_norm")),
    )
    rows = tuple(
        (
            Cell(one.name), Cell("\u00a0×\u00a0".join(map(str, one.shape))),
            Cell(f"{one.dtype} ({view.t('codes')})" if one.of == "codes" else one.dtype), number(f"{one.mean:.4g}"),
            number(f"{one.std:.4g}"), number(f"{one.min:.4g} … {one.max:.4g}"),
            number("—" if one.near_zero is None else percent(one.near_zero)),
            number("—" if one.operator_norm is None else f"{one.operator_norm:.4g}"),
        )
        for one in tensors
    )  # fmt: skip
    return Table(view.t(heading), columns, rows)


def parameter_name(view: View, key: str) -> str:
    """A parameter in words."""
    return PARAMETERS[key][view.language == "zh"] if key in PARAMETERS else key


def _value(key: str, entry: object) -> str:
    if key == "parameters" and isinstance(entry, int | float):
        return f"{entry:,.0f} ({entry / 1e9:.2f} B)" if entry >= 1e8 else f"{entry:,.0f}"
    if key == "weight_bytes" and isinstance(entry, int | float):
        return f"{entry / 1e9:.2f} GB" if entry >= 1e8 else f"{entry / 1e6:.1f} MB"
    return f"{entry:.6g}" if isinstance(entry, float) else str(entry)
