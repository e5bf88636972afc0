"""The templates of a hand-in's files, and what each is told."""

import json
import re
import shlex
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from npu_conformance.commands.hand_in.subject import Subject
from npu_conformance.errors import printable
from npu_conformance.measure.results import worst
from npu_conformance.report.cards.graded import graded, graded_rows
from npu_conformance.report.cards.markdown import cell, lines, table
from npu_conformance.report.sections import section
from npu_conformance.report.sections.features import feature_table
from npu_conformance.report.sections.gates import figure_blocks
from npu_conformance.report.sections.serve import commands
from npu_conformance.report.sections.verdict import sentence
from npu_conformance.report.sections.view import View
from npu_conformance.report.sections.weights import parameter_table
from npu_conformance.report.values import value

_MOUNTS = (
    "--shm-size=16g",
    "--device /dev/davinci_manager",
    "--device /dev/devmm_svm",
    "--device /dev/hisi_hdc",
    "-v /usr/local/dcmi:/usr/local/dcmi",
    "-v /usr/local/bin/npu-smi:/usr/local/bin/npu-smi",
    "-v /usr/local/Ascend/driver/lib64/:/usr/local/Ascend/driver/lib64/",
    "-v /usr/local/Ascend/driver/version.info:/usr/local/Ascend/driver/version.info",
    "-v /etc/ascend_install.info:/etc/ascend_install.info",
    "-p 8000:8000",
)
"""Of vLLM-Ascend's own tutorials."""
_FIRST = 3
"""Prompts that inference.py asks."""
_HEADLINE = ("token_agreement", "cosine_mean", "relative_l2_mean", "kl_mean", "error_over_floor")


def text(name: str, subject: Subject, **more: Any) -> str:
    """A file, rendered.

    Args:
        name: of the template, without `.j2`.
        subject: of the hand-in.
        more: what this template asks for besides.
    """
    shown = _templates().get_template(f"{name}.j2").render(s=subject, **_common(subject), **more)
    return printable(_spaced(shown) if name.endswith(".md") else shown)


def _spaced(shown: str) -> str:
    """Markdown without two empty lines in a row."""
    return re.sub(r"\n{3,}", "\n\n", shown).rstrip("\n") + "\n"


@cache
def _templates() -> Environment:
    found = Environment(
        loader=PackageLoader("npu_conformance.commands.hand_in", "files"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 (Markdown, YAML, shell: each text from outside passes a filter of its own)
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {
        "cell": cell,
        "json": lambda one: json.dumps(one, ensure_ascii=False),
        "raw": lambda one: repr(json.dumps(one, ensure_ascii=True)),
        "quote": lambda one: shlex.quote(str(one)),
    }
    return found


def _common(subject: Subject) -> dict[str, Any]:
    """What several templates ask for."""
    return {
        "downloads": _downloads(subject),
        "docker": [*(f"--device /dev/davinci{place}" for place in range(subject.cards)), *_MOUNTS],
        "image": _image(subject),
        "notes": "\n>\n".join(f"> {note}" for note in subject.notes),
        "curl": _curl(subject),
        "chat": subject.asked[0].chat if subject.asked else True,
        "reference_dtype": (subject.base.reference.get("setting") or {}).get("dtype", "float32"),
    }


def _downloads(subject: Subject) -> list[str]:
    """Commands that fetch the weights, and convert them where the candidate's were."""
    found = commands(subject.facts, {}).split("\nvllm serve ")[0].splitlines()
    return [line for line in found if not line.startswith("vllm serve ")] or [
        f"# weights of the run: ./{subject.weights}"
    ]


def _image(subject: Subject) -> str:
    """The tag of the image that the run was in; of another platform none is known."""
    version = subject.versions.get("vllm-ascend")
    return f"v{version}" if version else "TAG"


def _curl(subject: Subject) -> str:
    """A request to the server."""
    prompt = subject.asked[0] if subject.asked else None
    named = subject.lora or f"./{subject.weights}"
    body: dict[str, Any] = {"model": named, "temperature": 0, "max_tokens": subject.config.max_tokens}
    if prompt is None or prompt.chat:
        path, said = "chat/completions", prompt.text if prompt else "Hello"
        body["messages"] = [{"role": "user", "content": said}]
        if subject.config.chat_template_kwargs:
            body["chat_template_kwargs"] = subject.config.chat_template_kwargs
    else:
        path, body["prompt"] = "completions", prompt.text
    told = shlex.quote(json.dumps(body, ensure_ascii=False, indent=2))
    return f"curl http://localhost:8000/v1/{path} \\\n  -H 'Content-Type: application/json' \\\n  -d {told}"


def serve_script(subject: Subject, *, lora: bool) -> str:
    """A script that serves the model, with its LoRA or without."""
    return text("serve.sh", subject, lora=lora, flags=subject.flags(lora=lora))


def requirements(subject: Subject) -> str:
    """The packages that the candidate ran with."""
    kept = {name: one for name, one in subject.versions.items() if name not in ("python", "cann", "npu-conformance")}
    local = any("+cpu" in one for one in kept.values())
    extra = ["--extra-index-url https://download.pytorch.org/whl/cpu"] if local else []
    return text("requirements.txt", subject, packages=sorted(kept.items()), extra=extra)


def inference(subject: Subject, tokens: dict[str, list[int]]) -> str:
    """A program that asks the model some of the run's prompts.

    Args:
        subject: of the hand-in.
        tokens: base's answers by prompt.
    """
    prompts = [
        {
            "text": one.text, "chat": one.chat, "system": one.system, "max_tokens": one.max_tokens,
            "token_ids": tokens[one.id],
        }
        for one in subject.asked[:_FIRST]
    ]  # fmt: skip
    return text(
        "inference.py",
        subject,
        engine=subject.engine_options,
        lora_options=subject.lora_options,
        prompts=prompts,
        template=subject.config.chat_template_kwargs,
    )


def adaptation(subject: Subject) -> str:
    """The adaptation report, in Chinese, with the rows that a contest grades at its end."""
    view, facts = subject.view("zh"), subject.facts
    return text(
        "adaptation.md",
        subject,
        parameters="\n".join(table(parameter_table(view), 40)),
        features="\n".join(table(feature_table(view), 60)),
        figures="\n".join(lines(figure_blocks(view, "base"), 40, "")).rstrip(),
        address=f"https://www.modelscope.cn/models/{facts.model}",
        cann=subject.versions.get("cann", "未测"),
        conversion="无" if facts.conversion is None else f"{facts.conversion['scheme']} → {facts.conversion['dtype']}",
        reasons="引擎不支持该量化格式，已转换权重" if facts.conversion else "未发现（本次运行未作改动）",
        said=view.said(subject.model.verdict),
        eager=view.said(worst(one.verdict for one in view.checks("base"))),
        longest=f"{subject.longest} 个 token 的提示词",
        conclusion=sentence(view),
        graded="\n".join(graded(view)),
        latency=graded_rows(view)["NPU latency_ms"],
        speed=_speed(view),
    )


def _speed(view: View) -> str:
    """What the report says of times, with its note on what that measures."""
    found = section("performance", view)
    return "" if found is None else "\n".join(lines(found.blocks, 20, "")).rstrip()


def runbook(subject: Subject) -> str:
    """How to run everything, in Chinese."""
    return text("RUNBOOK.md", subject)


def card_end(subject: Subject, *, zh: bool) -> str:
    """What a card says of the files beside it."""
    return text("handed.md", subject, zh=zh)


def tutorial(subject: Subject) -> str:
    """vLLM-Ascend's page of the model."""
    view, served = subject.view("en"), subject.flags(lora=bool(subject.lora))
    answer = subject.base.prompts[0].answer if subject.base.prompts else ""
    figures = [found for name in _HEADLINE if (found := view.find(name)) is not None]
    lora = [f"--lora-modules {shlex.quote(f'{subject.lora}=./{subject.lora}')}"] if subject.lora else []
    return text(
        "tutorial.md",
        subject,
        features="\n".join(table(feature_table(view), 60)),
        precision=[(view.title(one), f"{value(one, 'observed')} (n = {one.n})") for one in figures],
        dataset=f"{len(subject.base.prompts)} prompts",
        serve=" \\\n  ".join([f"vllm serve ./{shlex.quote(subject.weights)}", *served, *lora, "--port 8000"]),
        speed=_speed(view) if subject.timed else "",
        answer=answer.replace("```", "'''").strip(),
        weight_size=f"{int(subject.facts.architecture.get('weight_bytes', 0)) / 1e9:.2f} GB",
    )


def e2e_yaml(subject: Subject) -> str:
    """vLLM-Ascend's test of scores."""
    named = ("dtype", "max_model_len", "tensor_parallel_size", "trust_remote_code")
    args = ",".join(f"{name}={one}" for name, one in subject.engine_options.items() if name in named)
    return text("e2e.yaml", subject, model_args=args)


def nightly_yaml(subject: Subject) -> str:
    """vLLM-Ascend's nightly test of the server."""
    words = [word for flag in subject.flags() for word in shlex.split(flag)]
    return text("nightly.yaml", subject, flag_words=words, prompt=subject.asked[0].text if subject.asked else "Hello")
