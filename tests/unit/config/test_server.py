"""The address of a server, and which engine is under test."""

from dataclasses import replace
from pathlib import Path

import pytest

from npu_conformance.config.model import load_config
from npu_conformance.config.server import check_server
from npu_conformance.errors import ConfigError
from npu_conformance.run.settings import Settings

SECRET = "planted-secret"
HIDDEN = (
    f"http://me:{SECRET}@host:8000",
    f"https://{SECRET}@host",
    f"http://host:8000/v1?key={SECRET}",
    f"http://host#{SECRET}",
    f"http://me:{SECRET}@host:port",
    f"http://me:{SECRET}@[host",
    f"me:{SECRET}@host:8000",
    f"http://host:99999?key={SECRET}",
)


@pytest.mark.parametrize("url", HIDDEN)
def test_an_address_with_a_secret_is_refused_and_not_repeated(url: str, tmp_path: Path) -> None:
    """On the command line and in a YAML: what is refused is written nowhere."""
    (tmp_path / "One.yaml").write_text(f"model: a/b\ncandidate: openai\nserver: '{url}'\n")
    asked = Settings(tmp_path, candidate="openai", server=url)
    for refused in (lambda: check_server(url), asked.check, lambda: load_config(tmp_path / "One.yaml")):
        with pytest.raises(ConfigError, match="OPENAI_API_KEY") as raised:
            refused()
        assert SECRET not in str(raised.value)


@pytest.mark.parametrize("url", ["host:8000", "ftp://host", "http://", "http://host:0", "http://[host", "http://h:x"])
def test_what_is_no_address_is_refused(url: str) -> None:
    """With what one looks like."""
    with pytest.raises(ConfigError, match=r"expected an address such as http://host:8000"):
        check_server(url)


def test_a_server_needs_an_address(tmp_path: Path) -> None:
    """And no other engine takes one."""
    with pytest.raises(ConfigError, match="--candidate openai: is a server: name its address"):
        Settings(tmp_path, candidate="openai").check()
    plain = Settings(tmp_path, candidate="vllm")
    for asked in (replace(plain, server="http://host"), replace(plain, served_model="m")):
        with pytest.raises(ConfigError, match="vllm is no server: add --candidate openai"):
            asked.check()
    (tmp_path / "One.yaml").write_text("model: a/b\ncandidate: openai\n")
    with pytest.raises(ConfigError, match=r"One\.yaml.*candidate: openai is a server: name its address under server"):
        load_config(tmp_path / "One.yaml")


def test_the_command_line_comes_before_the_yaml(tmp_path: Path) -> None:
    """The engine, the address and the name alike."""
    (tmp_path / "One.yaml").write_text(
        "model: a/b\ncandidate: openai\nserver: http://one:1\nserved_model_name: first\n"
    )
    config, settings = load_config(tmp_path / "One.yaml"), Settings(tmp_path)

    assert settings.engine_of(config) == "openai"
    assert settings.server_of(config) == ("http://one:1", "first")
    other = Settings(tmp_path, server="http://two:2", served_model="second")
    assert other.server_of(config) == ("http://two:2", "second")
    plain = Settings(tmp_path, candidate="vllm")
    assert (plain.engine_of(config), plain.server_of(config)) == ("vllm", (None, None))
    (tmp_path / "Two.yaml").write_text("model: a/b\ncandidate: sglang\n")
    with pytest.raises(ConfigError, match=r"unknown engine \(engines: openai, transformers, vllm\)"):
        load_config(tmp_path / "Two.yaml")
