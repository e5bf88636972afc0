"""Prompts through a tokenizer and its chat template."""

import json
from pathlib import Path

import pytest

from npu_conformance.config.prompts import Prompt
from npu_conformance.engines.rendering import load_rendered, run
from npu_conformance.errors import CheckpointError
from npu_conformance.workers.job import RenderJob


@pytest.fixture
def job(tmp_path: Path) -> RenderJob:
    """One question, for a tokenizer of a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"?": 0, "what": 1, "is": 2, "it": 3}, "?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "?", "eos_token": "?"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "eos_token_id": [0, 3]}))
    prompts = (Prompt(id="maths/1", text="what is it", chat=True),)
    return RenderJob(output=tmp_path / "rendered.json", checkpoint=tmp_path, prompts=prompts)


@pytest.mark.parametrize(
    ("template", "ids"),
    [(None, (1, 2, 3)), ("is {{ messages[0].content }} {% if add_generation_prompt %}it{% endif %}", (2, 1, 2, 3, 3))],
)
def test_a_template_is_applied_where_there_is_one(job: RenderJob, template: str | None, ids: tuple[int, ...]) -> None:
    """Ids and stop tokens of both files; the file's own reading is the same."""
    if template is not None:
        (job.checkpoint / "chat_template.jinja").write_text(template)

    run(job, lambda *_: None)

    found = load_rendered(job.output)
    assert (found.prompt_ids, found.chat, found.eos_token_ids) == ((ids,), (template is not None,), (0, 3))
    assert found.second_ids is not None
    assert ids in found.second_ids[0]


@pytest.mark.parametrize(
    "template", ["{% if %}", "{{ raise_exception('no system') }}", "{{ messages[9].content }}", "{{ 1 / 0 }}"]
)
def test_a_template_that_cannot_be_applied_is_named(job: RenderJob, template: str) -> None:
    """With prompt and reason, in one message."""
    (job.checkpoint / "chat_template.jinja").write_text(template)

    with pytest.raises(CheckpointError, match=r"its chat template cannot be applied to prompt maths/1 \(.+\): compare"):
        run(job, lambda *_: None)
