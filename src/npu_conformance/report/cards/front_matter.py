"""The YAML at the top of a card, which model hubs read: only what the run knows. The licence is its owner's."""

import json
import re

from npu_conformance.report.sections.view import View

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def front_matter(view: View) -> list[str]:
    """Lines, with the two rules around them; nothing of a model that never ran.

    A twin has no base model: it was trained on the spot, and nobody is to find it under the model's name.
    """
    facts, base = view.model.facts, view.base
    if facts is None or base is None:
        return []
    lines = []
    if view.model.subject == "real" and not facts.own_weights and _HUB_NAME.fullmatch(facts.model):
        lines.append(f"base_model: {json.dumps(facts.model)}")
    tags = [str(base.candidate.get("engine", "vllm")), "precision"]
    tags += ["ascend", "npu"] if base.candidate.get("platform") == "npu" else []
    tags += ["lora"] if facts.adapter else []
    tags += ["twin"] if view.model.subject == "twin" else []
    library = "peft" if facts.adapter else "transformers"
    lines += ["pipeline_tag: text-generation", f"library_name: {library}", f"tags: {json.dumps(tags)}"]
    return ["---", *lines, "---", ""]
