"""`npu-conformance watch`: checks a server every few minutes, and ends with an error when it drifts."""

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from npu_conformance.baselines.stored import Baseline, read_baseline
from npu_conformance.errors import ConfigError
from npu_conformance.watch.asking import Server, ServerError
from npu_conformance.watch.judging import LIMIT, Found, chosen_prompts, judge

# Checks in a row that may fail to reach the server: it may be restarting.
_UNREACHED = 3


def watch(
    url: str, path: Path, *, model: str | None, every: float, once: bool, prompts: int, tokens: int, api_key: str
) -> int:
    """Check until something is wrong; 0 after one good check with `once`, else 1.

    Args:
        url: of the server.
        path: of the baseline's file.
        model: as the server names it.
        every: seconds from one check to the next.
        once: check once.
        prompts: asked in a check.
        tokens: asked for of each.
        api_key: the server's.

    Raises:
        ConfigError: the baseline cannot be used.
        ServerError: the server cannot be asked.
    """
    baseline = read_baseline(path)
    if len(baseline.floor) < 2:
        raise ConfigError(f"{path}: has fewer than two realisations of the noise floor: update it")
    server, unreached = Server(url, model, api_key), 0
    asked = chosen_prompts(baseline, prompts)
    print(f"{server.url}, {server.model}: {len(asked)} prompts, {tokens} tokens each, against {path}")
    while True:
        try:
            found = _check(server, baseline, asked, tokens)
            unreached = 0
            print(f"{_now()} {_line(found)}", flush=True)
            if found.alarm is not None:
                return 1
        except ServerError as error:
            unreached += 1
            print(f"{_now()} not checked: {error}", flush=True)
            if once or unreached == _UNREACHED:
                raise
        if once:
            return 0
        time.sleep(every)


def _check(server: Server, baseline: Baseline, asked: Sequence[int], tokens: int) -> Found:
    return judge(baseline, {at: server.continue_prompt(baseline.prompt_ids[at], tokens) for at in asked})


def _line(found: Found) -> str:
    if found.alarm is not None:
        return f"DRIFT: {found.alarm}"
    seen = f"{found.positions} positions of {found.prompts} prompts"
    word = "holds" if found.ratio <= LIMIT else "unsure, ask for more --prompts"
    return f"{word}: {seen}, error {found.ratio:.3g} times the noise floor's (at most {LIMIT:g})"


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
