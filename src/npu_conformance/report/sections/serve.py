"""How to get the model and serve it, with the options that were judged as `as_served`."""

import json
import shlex
from collections.abc import Mapping

from npu_conformance.report.sections.blocks import Code, Paragraph, Section
from npu_conformance.report.sections.view import View


def section(view: View) -> Section | None:
    """None where nobody knows what the model is, or it was never served."""
    served = next((one for one in view.model.variants if one.variant == "as_served"), view.base)
    facts = view.model.facts
    if facts is None or served is None:
        return None
    folder = f"./{facts.model.rpartition('/')[2]}"
    download = f"modelscope download --model {shlex.quote(facts.model)} --local_dir {shlex.quote(folder)}"
    command = " \\\n  ".join([f"vllm serve {shlex.quote(folder)}", *options(served.candidate.get("asked", {}))])
    return Section("serve", view.t("serve"), (Paragraph(view.t("serve_text")), Code(f"{download}\n{command}")))


def options(asked: Mapping[str, object]) -> list[str]:
    """Engine options as `vllm serve` takes them."""
    found = []
    for name, value in asked.items():
        flag = name.replace("_", "-")
        if value is None or (name == "compilation_config" and not value):
            continue
        if isinstance(value, bool):
            found.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, dict | list):
            found.append(f"--{flag} {shlex.quote(json.dumps(value))}")
        else:
            found.append(f"--{flag} {shlex.quote(str(value))}")
    return found
