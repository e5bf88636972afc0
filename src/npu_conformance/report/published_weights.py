"""What a run knows of a checkpoint, by the names under which publishers print it."""

from npu_conformance.report.details import SubjectFacts


def measured_weights(facts: SubjectFacts | None) -> dict[str, tuple[float, ...]]:
    """Numbers, or a least and a greatest one, by the keys of `Published.weights`.

    Args:
        facts: of the model; None gives nothing.
    """
    if facts is None:
        return {}
    found: dict[str, tuple[float, ...]] = {
        key: (float(entry),)
        for key, entry in facts.architecture.items()
        if isinstance(entry, (int, float)) and not isinstance(entry, bool)
    }
    found["weight_size"] = (found.get("weight_bytes", (0.0,))[0] / 1e9,)
    found["weight_tensors"] = found.get("tensors", (0.0,))
    return found | _from_conversion(facts) | _from_audit(facts) | _from_statistics(facts)


def _from_conversion(facts: SubjectFacts) -> dict[str, tuple[float, ...]]:
    cost = facts.conversion
    if not cost:
        return {}
    found: dict[str, tuple[float, ...]] = {"precision_loss": (cost["relative_rms_error"],)}
    if {"min_scale", "mean_scale", "max_scale"} <= set(cost):
        found |= {"scale": (cost["min_scale"], cost["max_scale"]), "scale_mean": (cost["mean_scale"],)}
    return found


def _from_audit(facts: SubjectFacts) -> dict[str, tuple[float, ...]]:
    if facts.audit is None:
        return {}
    return {"reconstruction_error_max": (facts.audit.max_abs,), "reconstruction_error_mean": (facts.audit.mean_abs,)}


def _from_statistics(facts: SubjectFacts) -> dict[str, tuple[float, ...]]:
    """Of the one weight whose operator norm was computed, and of the codes it came from."""
    found: dict[str, tuple[float, ...]] = {}
    weight = next((tensor for tensor in facts.weights_shown if tensor.operator_norm is not None), None)
    if weight is not None:
        found |= {
            "weight_rows": (weight.shape[0],),
            "weight_columns": (weight.shape[-1],),
            "weight_mean": (weight.mean,),
            "weight_std": (weight.std,),
            "weight": (weight.min, weight.max),
            "operator_norm": (weight.operator_norm or 0.0,),
        }
    codes = [tensor for tensor in facts.published_shown if tensor.of == "codes" and tensor.name.endswith("weight")]
    if codes:
        found["qweight_int8"] = (min(tensor.min for tensor in codes), max(tensor.max for tensor in codes))
    return found
