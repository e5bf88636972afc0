"""What a run knows of a checkpoint, under the names publishers use."""

from npu_conformance.audit.audit import Audit
from npu_conformance.audit.statistics import TensorStatistics
from npu_conformance.report.details import SubjectFacts
from npu_conformance.report.published_weights import measured_weights


def test_what_is_known_of_a_checkpoint_comes_from_its_facts() -> None:
    """Architecture, conversion, audit, and the one weight whose norm was computed."""
    weight = TensorStatistics(
        name="model.layers.0.self_attn.q_proj.weight", shape=(8, 4), dtype="F16", of="values",
        mean=0.1, std=0.2, min=-1, max=2, operator_norm=3,
    )  # fmt: skip
    codes = weight.model_copy(update={"name": "a.qweight", "of": "codes", "min": 1, "max": 255})
    audit = Audit(
        parameters=1,
        exact=1,
        broken=0,
        relative_rms=0.001,
        max_abs=0.5,
        mean_abs=0.25,
        allowed=0.01,
        worst=[],
        problems=[],
    )
    facts = SubjectFacts(
        kind="twin", model="a/b", hardware=None, weights="/w", weights_digest="d", reference_weights="/r",
        reference_digest="e", config_digest="c", architecture={"hidden_size": 4, "weight_bytes": 2_000_000_000},
        weights_shown=[weight], published_shown=[codes], audit=audit,
        conversion={"relative_rms_error": 0.0016, "min_scale": 0.1, "mean_scale": 0.2, "max_scale": 0.3},
    )  # fmt: skip
    found = measured_weights(facts)

    assert found["hidden_size"] == (4,)
    assert found["weight_size"] == (2,)
    assert found["precision_loss"] == (0.0016,)
    assert found["scale"] == (0.1, 0.3)
    assert found["weight"] == (-1, 2)
    assert found["operator_norm"] == (3,)
    assert found["qweight_int8"] == (1, 255)
    assert found["reconstruction_error_max"] == (0.5,)
    assert measured_weights(None) == {}
