"""What a bisection found, on one page that can be pasted into a bug report."""

import dataclasses
from dataclasses import dataclass

from npu_conformance.commands.bisect.layer import LayerFinding, first_layer
from npu_conformance.commands.bisect.position import Position
from npu_conformance.report.cards.markdown import cell

# Of a position's line: a token may be any text.
_LONGEST = 300


@dataclass(frozen=True)
class Finding:
    """Where a model begins to fail."""

    model: str
    features: list[str]
    """The smallest set of features that still fails; empty where base itself does."""
    position: Position | None
    layers: tuple[LayerFinding, ...] = ()
    remarks: tuple[str, ...] = ()

    def saying(self, remark: str) -> "Finding":
        """The same with one more remark."""
        return dataclasses.replace(self, remarks=(*self.remarks, remark))

    def with_layers(self, layers: list[LayerFinding]) -> "Finding":
        """The same with what each layer shows."""
        return dataclasses.replace(self, layers=tuple(layers))

    @property
    def layer(self) -> LayerFinding | None:
        """The first layer beyond a clean run's spread."""
        return first_layer(list(self.layers))


def page(finding: Finding, *, tried: str, command: str, versions: dict[str, str], subject: str) -> str:
    """The finding in Markdown.

    Args:
        finding: what was found.
        tried: how many engines were started, and of how many combinations.
        command: that reproduces it.
        versions: of the packages that decide about numbers.
        subject: `real` or `twin`.
    """
    where = "base itself" if not finding.features else " + ".join(finding.features)
    lines = [
        f"# {finding.model}: fails in {where}" + (" (a twin, not the model)" if subject == "twin" else ""),
        "",
        f"- features: {where}" + ("" if finding.features else ", with every feature off"),
        *_position_lines(finding.position),
        f"- layer: {_layer_line(finding)}",
        *(f"- {remark}" for remark in finding.remarks),
        f"- {tried}",
        f"- reproduce: `{command}`",
        f"- versions: {', '.join(f'{name} {version}' for name, version in versions.items())}",
        "",
        *_table(finding),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _position_lines(position: Position | None) -> list[str]:
    if position is None:
        return ["- position: none"]
    row = "" if position.row is None else f", all of them in the engine's batch row {position.row}"
    return [
        f"- {'first' if position.beyond else 'worst'} position: {cell(position.told, _LONGEST)}",
        f"- relative L2 distance there {position.distance:.4g}; the largest of a clean run {position.noise:.4g}; "
        f"{position.beyond} of {position.positions} positions of the {position.part} are beyond twice that{row}",
    ]


def _layer_line(finding: Finding) -> str:
    if (layer := finding.layer) is None:
        return "none leaves a clean run's spread" if finding.layers else "not looked at"
    how = (
        f"distance {layer.distance:.4g} (clean at most {layer.clean_distance:.4g}), norm {layer.norm:.5g} against "
        f"{layer.reference_norm:.5g}"
    )
    return f"{layer.point} is the first beyond a clean run's spread: {how}"


def _table(finding: Finding) -> list[str]:
    if not finding.layers:
        return []
    head = [
        "| after | norm | reference | cosine | relative L2 | clean, at most | norm deviates by | clean, at most | |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    rows = [
        f"| {one.point} | {one.norm:.5g} | {one.reference_norm:.5g} | {one.cosine:.6f} | {one.distance:.3g} | "
        f"{one.clean_distance:.3g} | {one.norm_deviation:.3g} | {one.clean_norm_deviation:.3g} | "
        f"{'beyond' if one.beyond else ''} |"
        for one in finding.layers
    ]
    return head + rows
