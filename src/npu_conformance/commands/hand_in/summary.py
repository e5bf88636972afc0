"""`precision_report.json`: the figures in short, by the names that published reports use."""

import json
from typing import Any

from npu_conformance.commands.hand_in.data import HandedData
from npu_conformance.commands.hand_in.subject import Subject
from npu_conformance.machine.provenance import made_by

_NAMES = {
    "token_agreement": "token_agreement_rate_pct",
    "cosine_mean": "avg_cosine_similarity",
    "cosine_min": "min_cosine_similarity",
    "pearson_mean": "pearson_correlation",
    "relative_l2_mean": "avg_relative_error_pct",
    "relative_l2_max": "max_relative_error_pct",
    "kl_mean": "avg_kl_divergence",
    "max_abs_diff": "max_abs_logit_diff",
    "mean_abs_diff": "mean_abs_logit_diff",
    "top5_overlap": "top5_overlap_pct",
}


def summary(subject: Subject, data: HandedData) -> str:
    """The file's text."""
    view, model = subject.view("en"), subject.model
    base = [one for one in model.checks if one.variant == "base" and one.observed is not None]
    short = {
        told: found.observed * (100 if told.endswith("_pct") else 1)
        for name, told in _NAMES.items()
        if (found := view.find(name)) is not None and found.observed is not None
    }
    content: dict[str, Any] = {
        "model": subject.name,
        "weights": subject.facts.model,
        "subject": model.subject,
        **({"note": subject.twin} if subject.twin else {}),
        "verdict": model.verdict.upper(),
        "platform": subject.platform,
        "on_npu": subject.on_npu,
        "prompts": len(data.prompts),
        "positions": data.bounds[-1],
        **short,
        "figures": [one.model_dump(mode="json", exclude={"where", "message", "variant"}) for one in base],
        "features": [
            {"feature": one.name, "state": one.mark, "variants": one.variants} for one in subject.states("en")
        ],
        "not_measured": ["task scores", *([] if subject.timed else ["latency", "throughput"])],
        "candidate": made_by(subject.base.candidate),
        "outputs": [
            {"prompt": asked.text, "answer": said.text, "token_ids": said.token_ids.array().tolist()}
            for asked, said in zip(data.asked, data.prompts, strict=True)
        ],
        "data": "evidence/data.json.gz",
        "checked_by": "npu-conformance verify DIR",
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
