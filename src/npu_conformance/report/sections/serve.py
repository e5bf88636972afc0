"""How to get the model and serve it as it was judged: its weights, its LoRA and its options."""

import json
import shlex
from collections.abc import Mapping
from pathlib import PurePath

from npu_conformance.report.details import SubjectFacts
from npu_conformance.report.sections.blocks import Code, Paragraph, Section
from npu_conformance.report.sections.view import View


def section(view: View) -> Section | None:
    """None where nobody knows what the model is, or it was never served."""
    served = next((one for one in view.model.variants if one.variant == "as_served"), view.base)
    facts = view.model.facts
    if facts is None or served is None:
        return None
    text = view.t("serve_own" if facts.own_weights else "serve_text").format(variant=served.variant)
    lines = commands(facts, served.candidate.get("asked", {}))
    return Section("serve", view.t("serve"), (Paragraph(text), Code(lines)))


def commands(facts: SubjectFacts, asked: Mapping[str, object]) -> str:
    """Command lines that fetch what was judged, convert it where the candidate's weights were, and serve it."""
    folder = _folder(facts.weights if facts.own_weights else facts.model)
    found = [] if facts.own_weights else [_download(facts.model)]
    if facts.conversion and not facts.own_weights:
        published, dtype = folder, str(facts.conversion["dtype"])
        folder = f"{published}-{dtype}"
        found.append(shlex.join(["npu-conformance", "dev", "convert", published, folder, "--dtype", dtype]))
    flags = options(asked)
    if adapter := facts.adapter_model or facts.adapter:
        found += [_download(adapter)] if facts.adapter_model and not facts.own_weights else []
        flags.append(f"--lora-modules {shlex.quote(f'{PurePath(adapter).name}={_folder(adapter)}')}")
    return "\n".join([*found, " \\\n  ".join([f"vllm serve {shlex.quote(folder)}", *flags])])


def _download(model: str) -> str:
    return f"modelscope download --model {shlex.quote(model)} --local_dir {shlex.quote(_folder(model))}"


def _folder(model: str) -> str:
    """Of a model's name, or of a path on the machine that judged it: its last part."""
    return f"./{PurePath(model).name}"


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
