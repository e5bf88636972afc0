"""Model configs: what is accepted, and what each mistake says."""

import json
import re
from pathlib import Path

import pytest

from npu_conformance.config.identity import config_digest
from npu_conformance.config.model import ModelConfig, check_remote_code, config_names, config_path, load_config
from npu_conformance.config.prompts import load_prompts
from npu_conformance.config.schema import config_schema
from npu_conformance.config.variants import JUDGED, engine_options
from npu_conformance.errors import ConfigError
from npu_conformance.run.settings import Settings
from npu_conformance.twins import RECIPES


def write(folder: Path, text: str) -> Path:
    """A config file with the given text."""
    path = folder / "Model.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_smallest_config_is_one_line(tmp_path: Path) -> None:
    """Everything but the hub id has a default."""
    config = load_config(write(tmp_path, "model: Qwen/Qwen3-0.6B\n"))

    assert config.serve.dtype == "bfloat16"
    assert config.max_tokens == 48
    assert config.reference_model == "Qwen/Qwen3-0.6B"
    assert config.limit("token_agreement") == 0.99
    assert config.limit("kl_max") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: a/b\npromts: [guard]\n", "promts: unknown key; did you mean 'prompts'?"),
        ("model: a/b\nserve: {dtyp: float16}\n", "serve.dtyp: unknown key; did you mean 'dtype'?"),
        ("model: a/b\nprompts: [{set: guard, chatt: true}]\n", "unknown key; did you mean 'chat'?"),
        ("serve: {}\n", "model: required key is missing"),
        ("model: noslash\n", "model: "),
        ("model: ../..\n", "model: "),
        ("model: a/b--c\n", "model: "),
        ("model: a/b\nserve: {engine_args: {hf_overrides: {}}}\n", "hf_overrides: would change"),
        ("model: a/b\nserve: {tensor_parallel_size: '4'}\n", "serve.tensor_parallel_size: expected integer, found '4'"),
        (
            "model: a/b\nserve: {dtype: int3}\n",
            "serve.dtype: expected 'bfloat16', 'float16' or 'float32', found 'int3'",
        ),
        (
            "model: a/b\nlimits: {token_agreement: {value: high, reason: because it is}}\n",
            "limits.token_agreement.value: expected number, found 'high'",
        ),
        ("model: a/b\nlimits: {token_agreement: {value: 0.9}}\n", "limits.token_agreement.reason: required"),
        (
            "model: a/b\nlimits: {token_agreemnt: {value: 0.9, reason: because it is}}\n",
            "token_agreemnt: unknown figure; did you mean 'token_agreement'?",
        ),
        ("model: a/b\nlabels: {pattern: 'Safety: (.*'}\n", "labels.pattern: not a regular expression"),
        ("model: a/b\nlabels: {pattern: 'Safety: (.*)'}\n", "labels.pattern: has no named group"),
        ("model: a/b\nprompts: [guard, guard]\n", "prompts: set 'guard' is listed twice"),
        ("model: a/b\nprompts: []\n", "prompts: "),
        ("model: a/b\nmodel: c/d\n", "key 'model' is given twice"),
        ("- a\n- b\n", "expected a mapping of keys to values, found a list"),
        ("", "expected a mapping of keys to values, found nothing"),
        ("model: [a\n", "not valid YAML"),
        ("model: a/b\nserve: {additional_config: {enable_reduce_sample: true}}\n", "enable_reduce_sample"),
        ("model: a/b\nserve: {engine_args: {hf_token: hf_x}}\n", "engine_args.hf_token: a secret in this file"),
        ("model: a/b\nserve: {engine_args: {dtype: float16}}\n", "engine_args.dtype: has a key of its own"),
        (
            "model: a/b\nenvs: {OWN: '1', ASCEND_RT_VISIBLE_DEVICES: '0,1'}\n",
            "envs: ASCEND_RT_VISIBLE_DEVICES: each engine is lent devices, so a config chooses none; remove it, and "
            "name those that may be lent in the environment of the run: NPU_CONFORMANCE_DEVICES=0-3",
        ),
        ("model: a/b\nenvs: {CUDA_VISIBLE_DEVICES: '0'}\n", "envs: CUDA_VISIBLE_DEVICES: each engine is lent"),
    ],
)
def test_a_mistake_is_one_line_that_names_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    """No traceback, no guessing: file, key, what was expected."""
    path = write(tmp_path, text)

    with pytest.raises(ConfigError) as caught:
        load_config(path)

    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_yaml_cannot_run_code(tmp_path: Path) -> None:
    """Tags that make Python objects are refused."""
    with pytest.raises(ConfigError, match=r"tag '!!python/object/apply:os.system': a config has none"):
        load_config(write(tmp_path, "model: !!python/object/apply:os.system ['true']\n"))


def test_remote_code_needs_yaml_and_command_line(tmp_path: Path) -> None:
    """Either alone is not enough; the YAML alone is an error, not a silent difference."""
    path = write(tmp_path, "model: a/b\nserve: {trust_remote_code: true}\n")
    config = load_config(path)

    with pytest.raises(ConfigError, match="--trust-remote-code"):
        check_remote_code(config, path, allowed=False)
    check_remote_code(config, path, allowed=True)


def test_a_limit_of_the_model_replaces_the_default(tmp_path: Path) -> None:
    """Others keep the dtype's."""
    text = "model: a/b\nserve: {dtype: float16}\nlimits: {kl_max: {value: 1, reason: measured on the original}}\n"
    config = load_config(write(tmp_path, text))

    assert config.limit("kl_max") == 1
    assert config.limit("token_agreement") == 0.995


def test_base_turns_every_feature_off_and_as_served_is_the_yaml(tmp_path: Path) -> None:
    """as_served carries what the YAML says and nothing else."""
    text = "model: a/b\nserve: {max_model_len: 4096, enable_prefix_caching: true, engine_args: {seed: 7}}\n"
    serve = load_config(write(tmp_path, text)).serve
    base, served = (engine_options(serve, variant) for variant in JUDGED)

    assert served == {
        "dtype": "bfloat16",
        "tensor_parallel_size": 1,
        "max_model_len": 4096,
        "enable_prefix_caching": True,
        "seed": 7,
    }
    assert base["enforce_eager"] is True
    assert base["enable_prefix_caching"] is False
    assert base["max_model_len"] == 4096


def test_a_config_may_end_in_yml(tmp_path: Path) -> None:
    """Instead of being passed over in silence; two files of a model are refused."""
    (tmp_path / "Model.yml").write_text("model: a/b\n")
    assert config_names(tmp_path) == ["Model"]
    assert load_config(config_path(tmp_path, "Model")).model == "a/b"

    (tmp_path / "Model.yaml").write_text("model: a/b\n")
    with pytest.raises(ConfigError, match=r"Model.yml: Model.yaml is beside it: keep one of the two"):
        load_config(config_path(tmp_path, "Model"))


def test_the_checked_in_schema_is_current(configs: Path) -> None:
    """Editors see what the code accepts; `npu-conformance dev schema` writes it."""
    assert json.loads((configs / "schema.json").read_text(encoding="utf-8")) == config_schema()


@pytest.mark.parametrize("name", config_names(Path(__file__).parents[3] / "model_configs"))
def test_every_shipped_config_is_valid(configs: Path, name: str) -> None:
    """With prompts that exist, enough of them, a known twin and the schema named for editors."""
    path = config_path(configs, name)
    config = load_config(path)

    assert len(load_prompts(config.prompts, configs / "prompts")) >= 40
    assert config.twin is None or config.twin in RECIPES
    assert path.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=schema.json\n")


def test_a_scheme_needs_its_original_and_brings_its_limits(tmp_path: Path) -> None:
    """Limits of a dtype would fail any quantised model."""
    text = "model: a/b\nscheme: w8a8\n"
    with pytest.raises(ConfigError, match=r"scheme: name the unquantised original under reference\.model"):
        load_config(write(tmp_path, text))
    config = load_config(
        write(tmp_path, text + "reference: {model: a/c}\nlimits: {kl_mean: {value: 0.5, reason: measured here}}\n")
    )

    assert config.limit("relative_l2_mean") == 0.05
    assert config.limit("kl_mean") == 0.5
    assert config.limit("kl_max") is None


def test_a_scheme_loosens_nothing_between_runs_of_the_same_weights(tmp_path: Path) -> None:
    """Quantisation lies between candidate and original only; what the YAML says of the variants' spread stays."""
    text = """
        model: a/b
        scheme: w4a8
        reference: {model: a/c}
        limits:
          kl_mean: {value: 0.5, reason: measured against the original}
          variant_spread: {value: 4, reason: measured between variants}
    """
    config = load_config(write(tmp_path, text))
    plain = load_config(write(tmp_path, "model: a/b\n"))

    for figure in ("relative_l2_max", "relative_l2_mean", "kl_mean"):
        assert config.limit(figure, same_weights=True) == plain.limit(figure)
        assert config.limit(figure) != plain.limit(figure)
    assert config.limit("variant_spread") == config.limit("variant_spread", same_weights=True) == 4
    assert plain.limit("variant_spread") == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("convert: bfloat16\nreference: {model: a/c}", "remove reference.model"),
        ("variants: [tp_2]", "tp_2: unknown variant"),
        ("prompts: [{set: general, format: '('}]", "format: not a regular expression"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """One line, naming the key."""
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config(write(tmp_path, f"model: a/b\n{text}\n"))


def test_a_digest_is_of_what_a_config_says() -> None:
    """A key that is left out does not count, nor does the default that is written; another value does."""
    plain = ModelConfig(model="a/b")

    assert config_digest(plain) == config_digest(ModelConfig(model="a/b", max_tokens=48))
    assert config_digest(plain) != config_digest(ModelConfig(model="a/b", max_tokens=47))


def test_what_the_command_line_adds_is_none_of_a_config(tmp_path: Path) -> None:
    """A run with --serving is of the same config: its hand-in has the YAML that was judged."""
    for text in ("model: a/b\n", "model: a/b\nvariants: [graph]\n"):
        path = write(tmp_path, text)
        plain, added = (Settings(path.parent, serving=serving).load(path.stem) for serving in (False, True))

        assert added.variant_names != plain.variant_names
        assert config_digest(added) == config_digest(plain)
    assert config_digest(ModelConfig(model="a/b", variants=("graph",))) != config_digest(ModelConfig(model="a/b"))
