"""What a pass rules out, in words: the weakest faults that these checks caught on every twin of the campaign."""

from npu_conformance.report.sections.blocks import Cell, Fold, Paragraph, Section, Table
from npu_conformance.report.sections.view import View
from npu_conformance.report.words.faults import fault


def section(view: View) -> Section | None:
    """None where the run does not reach as far as the campaign did."""
    table = ruled_out_table(view)
    if not table.rows:
        return None
    blocks = (table, Paragraph(view.t("note_ruled_out")), Fold(view.t("ruled_out_by_check"), (_by_check(view),)))
    return Section("ruled_out", view.t("ruled_out"), blocks)


def ruled_out_table(view: View) -> Table:
    """A row a fault: the weakest that is caught, and by which checks."""
    found: dict[str, dict[str, float]] = {}
    for one in view.model.ruled_out:
        for kind, strength in one.faults.items():
            found.setdefault(kind, {}).setdefault(one.check, strength)
    rows = []
    for kind, by in found.items():
        # Of a multiplier above 1 the least is the weakest; of bits or a cap the most.
        weakest = max(by.values()) if kind in _FALLING else min(by.values())
        checks = ", ".join(check for check, strength in by.items() if strength == weakest)
        rows.append((Cell(fault(view.language, kind, weakest)), Cell(checks)))
    return Table(view.t("ruled_out"), (view.t("fault"), view.t("caught_by")), tuple(rows))


def _by_check(view: View) -> Table:
    """A row a check: the weakest fault of each kind that it caught; variants of which the same is said share it."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in view.model.ruled_out:
        faults = view.t("message_join").join(fault(view.language, *kind) for kind in one.faults.items())
        found.setdefault((one.check, faults), []).append(one.variant)
    rows = tuple((Cell(check), Cell(faults), Cell(", ".join(names))) for (check, faults), names in found.items())
    return Table(view.t("ruled_out_by_check"), tuple(map(view.t, ("check", "smallest_fault", "variants"))), rows)


_FALLING = frozenset(
    ("attention_softcap", "attention_window", "layer_value_bits", "layer_key_bits", "cache_bits", "clipping",
     "tokens_exchanged", "head_bits", "logits_softcap", "weight_bits", "layer_weight_bits", "expert_capacity",
     "router_bits")
)  # fmt: skip
