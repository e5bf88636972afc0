"""Watching a real vLLM server on the CPU: the twin it should serve, and another checkpoint in its place."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from npu_conformance.__main__ import main
from tests.unit.helpers.suite_runs import MODEL, changed_config, clean_environment, judge

pytestmark = [pytest.mark.engine, pytest.mark.slow]


@contextmanager
def served(checkpoint: Path, log: Path) -> Iterator[str]:
    """A server of a checkpoint, as soon as it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["-m", "vllm.entrypoints.openai.api_server", "--model", str(checkpoint), "--served-model-name", "served"]
    environment = clean_environment(VLLM_CPU_KVCACHE_SPACE="1", HF_HUB_OFFLINE="1", VLLM_NO_USAGE_STATS="1")
    with log.open("wb") as sink:
        server = subprocess.Popen(
            [sys.executable, *words, "--port", str(port), "--max-model-len", "4096", "--enforce-eager"],
            env=environment,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 180
        while not answers(url):
            assert server.poll() is None, log.read_text(errors="replace")[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.5)
        yield url
    finally:
        os.killpg(server.pid, 15)
        server.wait(60)


def answers(url: str) -> bool:
    """Whether the server is up."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as response:  # noqa: S310  # of this test's own server
            return bool(response.status == 200)
    except OSError:
        return False


def test_a_server_is_held_against_the_baseline(twin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same weights hold; others, whose positions turn at another pace, drift."""
    cache = tmp_path / "cache"
    (cache / "twins").mkdir(parents=True)
    (cache / "twins" / twin.name).symlink_to(twin)
    words = ("--twin", "-k", f"{MODEL}-base", "--baseline=create")
    assert judge(tmp_path / "reports", *words, NPU_CONFORMANCE_CACHE=str(cache)).status == 0
    (path,) = (cache / "twins" / "baselines").glob("*/*.json")
    with served(twin, tmp_path / "sound.txt") as url:
        assert main(["watch", "--server", url, "--baseline", str(path), "--once"]) == 0
    faulty = changed_config(twin, tmp_path / "faulty", rope_theta=20_000.0)
    with served(faulty, tmp_path / "faulty.txt") as url:
        assert main(["watch", "--server", url, "--baseline", str(path), "--once"]) == 1

    sound, drifted = [line for line in capsys.readouterr().out.splitlines() if "T" in line[:12]]
    assert "holds: " in sound
    assert "DRIFT: " in drifted
