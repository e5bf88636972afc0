"""What a machine, an engine or a model lacks for a variant, before anything starts."""

from collections.abc import Callable

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.config_values import value_findings
from npu_conformance.checkpoints.headers import read_json
from npu_conformance.checkpoints.subject import Subject
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.variants import CATALOGUE, JUDGED, Known, ranks
from npu_conformance.engines.vllm.boundary import LONGEST_TEXT, long_texts
from npu_conformance.errors import CheckpointError
from npu_conformance.machine.devices import Platform, find_devices
from npu_conformance.machine.provenance import engine_version
from npu_conformance.run.kv_cache import own_longest
from npu_conformance.run.requirements import unmet


def lacking(
    config: ModelConfig, variant: str, device: Platform | None, checkpoint: Callable[[], Checkpoint | None]
) -> str | None:
    """Why a variant cannot run, in one line; None where it can.

    Args:
        config: of the model.
        variant: its name.
        device: the platform that is insisted on; None for what is found.
        checkpoint: the config of its weights, None where there is none yet; asked only where it matters.
    """
    platform, there = find_devices(device)
    if config.serve.quantization == "ascend" and platform != "npu":
        return (
            "serve.quantization: ascend is vLLM-Ascend's own, which needs NPUs, and this platform is "
            f"{platform}: --candidate transformers computes with the same codes here"
        )
    needed = ranks(config.options(variant))
    if needed > there:
        are = "is" if there == 1 else "are"
        return f"{variant} needs {needed} devices, {there} of platform {platform} {are} here"
    known = CATALOGUE.get(variant)
    if variant not in JUDGED and not _differs(config, variant):
        return f"{variant}: the config's serve section and envs already set these options in base"
    return None if known is None else _lacking_for(known, config, variant, platform, checkpoint)


def config_of(subject: Subject) -> Checkpoint | None:
    """The config of a model's weights, without them; None for a twin that is not built yet.

    Raises:
        ConformanceError: it cannot be read, or has values that nothing can be computed with.
    """
    path = subject.reference / "config.json"
    if not path.is_file():
        return None
    config = read_json(path, "what a variant needs")
    if wrong := value_findings(config):
        raise CheckpointError(f"{path.parent}: {wrong[0]}")
    return Checkpoint(path.parent, config, {})


def _lacking_for(
    known: Known, config: ModelConfig, variant: str, platform: Platform, checkpoint: Callable[[], Checkpoint | None]
) -> str | None:
    if known.platform not in (None, platform):
        return f"{variant} is an option of platform {known.platform}, this one is {platform}"
    if known.needs == "lora_layers" and config.adapter is not None:
        return f"{variant}: every variant of this model is served with its LoRA"
    if known.long and not long_texts(((1,),), longest := _longest(config, checkpoint())):
        return f"{variant}: a longest request of {longest} tokens has no room for its texts"
    why = known.lacking.get(platform) or _wrong_release(known, platform) or unmet(known, config, checkpoint)
    return None if why is None else f"{variant}: {why}"


def _wrong_release(known: Known, platform: Platform) -> str | None:
    """Why no release that is installed here can run a variant; of one that is not installed nothing is said."""
    for bound in known.bounds:
        version = engine_version(bound.package)
        if version is not None and bound.platform in (None, platform) and (why := bound.excludes(version)):
            return why
    return None


def _differs(config: ModelConfig, variant: str) -> bool:
    """Whether a variant changes base's options or variables; those that change none on purpose do what it does not."""
    known = CATALOGUE.get(variant)
    if known is not None and (known.bitwise or known.long or known.tight_cache or known.served):
        return True
    own = {name: config.envs.get(name) for name in config.changed_envs(variant)}
    return own != config.changed_envs(variant) or config.options(variant) != config.options("base")


def _longest(config: ModelConfig, checkpoint: Checkpoint | None) -> int:
    """Tokens of the longest request, where config or weights say it."""
    own = None if checkpoint is None else own_longest(checkpoint.text_config)
    return config.serve.max_model_len or own or LONGEST_TEXT
