"""The options of a quantised checkpoint by themselves: wrong keys, wrong types, and what vLLM asks for besides."""

from npu_conformance.checkpoints.checkpoint import Finding
from npu_conformance.checkpoints.quantisation.place import MODELOPT_FILE, Announced
from npu_conformance.checkpoints.quantisation.schema import METHODS, needed, read_options


def option_findings(announced: Announced) -> list[Finding]:
    """What is wrong with the options, whatever is stored."""
    about, key = announced.where.split(": ")[0], announced.where.split(": ")[-1]
    if not isinstance(announced.content, dict):
        kind = type(announced.content).__name__
        message = f"{key} is a {kind}, expected a JSON object: copy it from where the model was published"
        return [Finding("error", about, message)]
    method = announced.options.get("quant_method")
    if not isinstance(method, str):
        message = (
            f"{key}.quant_method is {method!r}, expected such as {', '.join(METHODS[:3])}: engines do not know how the "
            "weights are stored; copy it from where the model was published"
        )
        return [Finding("error", about, message)]
    wrong = [Finding("error", about, f"{key}.{line}; correct it") for line in read_options(announced.options)[1]]
    return [*wrong, *_spelling(announced, about, key, method), *_needed(announced, about, key, method)]


def _spelling(announced: Announced, about: str, key: str, method: str) -> list[Finding]:
    written = announced.content.get("quant_method", method)
    if about == MODELOPT_FILE or written == method:
        return []
    message = f"{key}.quant_method is {written!r}, which vLLM takes for {method!r} and transformers refuses: correct it"
    return [Finding("warning", about, message)]


def _needed(announced: Announced, about: str, key: str, method: str) -> list[Finding]:
    return [
        Finding("warning", about, f"{key} has no {name}, without which vLLM does not start: add it, most often {value}")
        for name, value in needed(method).items()
        if announced.content.get(name) is None
    ]
