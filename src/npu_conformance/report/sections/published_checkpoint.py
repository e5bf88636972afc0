"""What a publisher printed of the checkpoint and of its layers, beside what this run knows of them."""

from npu_conformance.baselines.published import Published
from npu_conformance.report.published import measured_text, quantity_text
from npu_conformance.report.published_weights import measured_weights
from npu_conformance.report.sections.blocks import Cell, Table
from npu_conformance.report.sections.view import View, number
from npu_conformance.report.sections.weights import parameter_name
from npu_conformance.report.words.printed import CHECKPOINT


def weight_table(view: View, published: Published) -> Table:
    """Sizes, shapes and statistics; what the publisher's config.json said of the same."""
    known = measured_weights(view.model.facts)
    rows = tuple(
        (
            Cell(_name(view, name)), number(quantity_text(one)),
            number(measured_text(known[name], one.unit) if name in known else "—"),
            number(f"{published.config[name]:.7g}" if name in published.config else "—"),
            Cell(view.phrase(one.note or "")),
        )
        for name, one in published.weights.items()
    )  # fmt: skip
    columns = ("item", "published_value", _measured(view), "published_config", "published_remark")
    return Table(view.t("published_weights"), tuple(map(view.t, columns)), rows)


def layer_table(view: View, published: Published) -> Table:
    """Norms of hidden states, by transformers' numbers of them."""
    norms = _norms(view)
    rows = tuple(
        (
            Cell(str(one.layer)), number(f"{one.norm:.7g}"),
            number(f"{norms[one.layer]:.7g}" if one.layer in norms else "—"), Cell(view.phrase(one.note or "")),
        )
        for one in published.layers
    )  # fmt: skip
    columns = ("published_layer", "published_norm", _measured(view), "published_remark")
    return Table(view.t("published_layers"), tuple(map(view.t, columns)), rows)


def _norms(view: View) -> dict[int, float]:
    """The candidate's: 0 the embedding, the last after the norm."""
    layers = next((one.layers for one in view.model.variants if one.layers), [])
    # What the last layer leaves is not among them: there transformers has the final norm's output.
    return dict(enumerate(row.candidate_norm for row in (*layers[:-2], *layers[-1:])))


def _name(view: View, key: str) -> str:
    return CHECKPOINT[key][view.language == "zh"] if key in CHECKPOINT else parameter_name(view, key)


def _measured(view: View) -> str:
    return f"published_measured_{view.model.subject}"
