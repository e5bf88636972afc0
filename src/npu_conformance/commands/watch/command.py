"""`npu-conformance watch`: checks a server every few minutes, and ends with an error when it drifts."""

import secrets
import time
from collections.abc import Sequence
from datetime import datetime
from itertools import count
from pathlib import Path

import numpy as np

from npu_conformance.baselines.stored import Baseline, read_baseline
from npu_conformance.checkpoints.headers import shown
from npu_conformance.commands.console import say
from npu_conformance.commands.watch.judging import LIMIT, PROMPTS, ServerCheck, chosen_prompts, judge
from npu_conformance.config.server import check_server
from npu_conformance.engines.openai.client import Server
from npu_conformance.engines.openai.transport import ServerError
from npu_conformance.errors import ConfigError

# Checks in a row that may fail to reach the server: it may be restarting.
_UNREACHED = 3
_WEEK = 7 * 24 * 3600.0


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
        ConfigError: an option or the baseline cannot be used.
        ServerError: the server cannot be asked.
    """
    _check_options(url, every, prompts, tokens)
    baseline = read_baseline(path)
    if len(baseline.floor) < 2:
        raise ConfigError(f"{path}: has fewer than two floor runs: update it")
    if len(baseline.prompts) < PROMPTS:
        raise ConfigError(f"{path}: has {len(baseline.prompts)} prompts, at least {PROMPTS} are needed: update it")
    server, unreached = Server(url, model, api_key), 0
    # At random, so that a check by cron, which is always the first, gets round to all of them.
    order = np.random.default_rng().permutation(len(baseline.prompts)).tolist()
    whose = ", A TWIN'S, which says nothing of the model" if baseline.subject == "twin" else ""
    asked = f"{min(prompts, len(order))} of {len(order)} prompts a check, {tokens} tokens each"
    say(f"{server.url}, {shown(server.model)}: {asked}, against {path}{whose}")
    for turn in count():
        try:
            found = _check(server, baseline, chosen_prompts(order, prompts, turn), tokens)
            unreached = 0
            say(f"{_now()} {_line(found)}")
            if found.alarm is not None:
                return 1
        except ServerError as error:
            unreached += 1
            say(f"{_now()} not checked: {error}")
            if once or unreached == _UNREACHED:
                raise
        if once:
            break
        time.sleep(every)
    return 0


def _check_options(url: str, every: float, prompts: int, tokens: int) -> None:
    check_server(url)
    # Written so that NaN is refused.
    if not 0 < every <= _WEEK:
        raise ConfigError(f"--every {every:g}: expected seconds, more than 0, at most a week ({_WEEK:.0f})")
    if prompts < PROMPTS:
        raise ConfigError(f"--prompts {prompts}: expected at least {PROMPTS}; fewer tell nothing of their mean")
    if tokens < 1:
        raise ConfigError(f"--tokens {tokens}: expected at least 1")


def _check(server: Server, baseline: Baseline, asked: Sequence[int], tokens: int) -> ServerCheck:
    """Ask for as many tokens as the baseline has: what follows an ended answer it does not know."""
    salt = secrets.token_hex(16)
    lengths = {at: min(tokens, len(baseline.tokens[at])) for at in asked}
    answers = {at: server.continue_prompt(baseline.prompt_ids[at], n, salt) for at, n in lengths.items()}
    return judge(baseline, answers, tokens)


def _line(found: ServerCheck) -> str:
    if found.alarm is not None:
        return f"DRIFT: {found.alarm}"
    seen = f"{found.judged} positions of {found.prompts} prompts"
    word = "holds" if found.ratio <= LIMIT else "unsure, ask for more --prompts"
    return f"{word}: {seen}, error {found.ratio:.3g} times the baseline's (at most {LIMIT:g})"


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
