"""What failed of a model, grouped by its cause."""

import pytest

from npu_conformance.measure.results import Result
from npu_conformance.measure.three_way import IMPLICATES, ThreeWay
from npu_conformance.report.causes import causes
from tests.unit.helpers.finished_reports import (
    VARIANTS,
    details,
    failed,
    failing_report,
    green,
    layers_failed,
    model,
    with_these,
)
from tests.unit.helpers.shown_reports import paragraph, shown, text_of

BOTH = ThreeWay(False, False, True)
SPREAD = ("logits_closeness", "error_over_floor", "token_agreement")


def test_failures_are_grouped_by_their_cause() -> None:
    """The first bad layer by its module, what the three-way comparison points at, and what may follow, in one group."""
    also = [failed(name, variant) for name in SPREAD for variant in ("base", "as_served", "graph")]
    runs = [details("base", BOTH), details("as_served", BOTH), details("graph")]
    text = shown(model("Model", with_these(green(VARIANTS[:3]), [layers_failed(), *also]), runs))

    assert text.count("failed in") == 1
    assert paragraph(text, "failed in") == "base, as_served, graph"
    assert paragraph(text, "first layer").startswith("model.layers.1")
    assert paragraph(text, "points at") == IMPLICATES[BOTH]
    assert (
        paragraph(text, "look first at")
        == "hidden_states: Hidden states' cosine, least of any layer is 0.7, must be >= 0.99"
    )
    assert paragraph(text, "may follow") == "logits_closeness, token_agreement, error_over_floor"


def test_wrong_inputs_come_before_all_that_they_explain() -> None:
    """Weights that differ are what to look at first, with the place."""
    wrong = failed("checkpoint_weights", where="model.norm.weight: differs by 5.13 %")
    text = shown(model("Model", with_these(green(("base",)), [layers_failed(), wrong, failed("drift")]), []))

    assert paragraph(text, "look first at").startswith("checkpoint_weights: ")
    assert paragraph(text, "where") == "model.norm.weight: differs by 5.13 %"
    assert paragraph(text, "may follow") == "hidden_states, drift"


def test_a_layer_comes_before_what_is_as_near_to_the_cause() -> None:
    """It names a place; then what is near comes before what may follow, as checks are registered."""
    broken = [failed("drift"), failed("variant_closeness"), failed("finite_logits"), failed("adapter_effect")]
    (without,) = causes(model("Model", with_these(green(("base",)), broken), [details("base")]))
    (cause,) = causes(model("Model", with_these(green(("base",)), [*broken, layers_failed()]), [details("base")]))

    assert [one.check for one in without.first] == ["finite_logits"]
    assert [one.check for one in cause.first] == ["hidden_states"]
    assert cause.follows == ("finite_logits", "variant_closeness", "adapter_effect", "drift")


def test_a_variant_that_fails_alone_is_a_cause_of_its_own() -> None:
    """With what it changes of base; the place comes without logits."""
    where = "set/a, position 3: candidate 'x' (#1), reference 'y' (#2); logits of the two: candidate 1 and 2"
    broken = [failed("variant_closeness", "graph", where=where), failed("drift", "graph")]
    runs = [details("base"), details("graph", changes="ACL graphs instead of eager mode")]
    text = shown(model("Model", with_these(green(("base", "graph")), broken), runs))

    assert paragraph(text, "failed in") == "graph"
    assert paragraph(text, "changes") == "ACL graphs instead of eager mode; base passes"
    assert paragraph(text, "where") == "set/a, position 3: candidate 'x' (#1), reference 'y' (#2)"


def test_what_a_variant_fails_besides_base_is_told_apart() -> None:
    """Only that; what base fails too is in base's group."""
    broken = [failed("drift"), failed("drift", "graph"), failed("variant_closeness", "graph")]
    runs = [details("base"), details("graph", changes="graphs")]
    first, second = causes(model("Model", with_these(green(("base", "graph")), broken), runs))

    assert (first.variants, [one.check for one in first.first], first.follows) == (("base",), ["drift"], ())
    assert (second.variants, [one.check for one in second.first], second.follows) == (
        ("graph",), ["variant_closeness"], (),
    )  # fmt: skip
    assert second.changes is None


def test_an_unsteady_engine_follows_from_nothing() -> None:
    """Wrong layers are no reason for two runs to differ."""
    broken = [layers_failed(), failed("greedy_determinism"), failed("drift")]
    (cause,) = causes(model("Model", with_these(green(("base",)), broken), [details("base")]))

    assert [one.check for one in cause.first] == ["hidden_states", "greedy_determinism"]
    assert cause.follows == ("drift",)


def test_the_first_of_two_bad_layers_is_named() -> None:
    """Cosine and norm may leave their limits at different layers."""
    broken = [layers_failed(point="final norm"), layers_failed(point="model.layers.0")]
    (cause,) = causes(model("Model", with_these(green(("base",)), broken), [details("base")]))

    assert cause.layer == "model.layers.0"


@pytest.mark.parametrize("point", ["model.layers.3", "embedding", "final norm"])
def test_a_point_is_called_as_hidden_states_call_it(point: str) -> None:
    """There is one name for a layer, its module's."""
    (cause,) = causes(model("Model", with_these(green(("base",)), [layers_failed(point=point)]), [details("base")]))

    assert cause.layer == point


def test_checks_of_a_report_are_not_changed() -> None:
    """The summary is made from the report and leaves it as it is."""
    made = failing_report()
    before: list[Result] = [one for found in made.models for one in found.checks]
    text_of(made)

    assert before == [one for found in made.models for one in found.checks]


def test_a_module_beyond_its_own_floor_is_named_before_states_that_may_follow() -> None:
    """Errors of earlier layers are in hidden states, and in no module that is computed from what it was given."""
    module = failed("layers_over_floor", where="first beyond at model.layers.0.mlp: 2 times its floor, others 1")
    found = with_these(green(("base",)), [module, layers_failed(), failed("error_over_floor")])
    (cause,) = causes(model("Model", found, [details("base")]))

    assert cause.layer == "model.layers.0.mlp"
    assert [one.check for one in cause.first] == ["layers_over_floor"]
    assert cause.follows == ("hidden_states", "error_over_floor")


def test_a_report_says_where_no_module_is_beyond_its_floor() -> None:
    """Then the fault is in what lies between them, or behind the last."""
    found = with_these(green(("base",)), [failed("error_over_floor")])
    text = shown(model("Model", found, [details("base")]))

    assert paragraph(text, "first layer") == "none: each attention and MLP is within its own floor"
