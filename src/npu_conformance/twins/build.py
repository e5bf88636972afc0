"""Builds a twin's checkpoint folder, by the kind of its recipe."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from npu_conformance.machine.storage import write_json
from npu_conformance.twins.adapter import train_adapter
from npu_conformance.twins.corpus import examples, words
from npu_conformance.twins.derived import with_special_tokens
from npu_conformance.twins.finding import find_recipe
from npu_conformance.twins.formats import copy_beside, store
from npu_conformance.twins.modelslim import store_modelslim
from npu_conformance.twins.networks import new_network, save_network
from npu_conformance.twins.recipes import Adapted, Derived, Recipe, Stored, Taught, Trained
from npu_conformance.twins.ternary import fused, ternary_while_training
from npu_conformance.twins.tokenizer import save_tokenizer, train_tokenizer
from npu_conformance.twins.train import sample, train

# Of the texts a twin knows, those that static ranges are found on.
_ONE_IN = 8


def build(
    name: str,
    destination: Path,
    prompts_dir: Path,
    base: Path | None,
    progress: Callable[[int, int], None],
) -> None:
    """Make a twin and write it as a Hugging Face checkpoint folder, or as a PEFT one for an adapter.

    `twin.json` is written last: a folder that has it is whole.

    Args:
        name: the recipe's name.
        destination: folder to write into.
        prompts_dir: the prompt sets the twin is to know the answers to.
        base: folder of the twin it is made from, where its recipe has a base.
        progress: called with the steps done and the steps there are.

    Raises:
        ConfigError: there is no such recipe, or a prompt set is malformed.
    """
    import torch

    recipe = find_recipe(name)
    # On networks this small a second thread costs more than it brings; twins are built side by side instead.
    torch.set_num_threads(1)
    destination.mkdir(parents=True, exist_ok=True)
    about: dict[str, object] = {}
    if isinstance(recipe, Derived):
        about["final_loss"] = _derive(recipe, destination, prompts_dir, progress)
    elif isinstance(recipe, Taught):
        about["final_loss"] = _train(recipe, destination, prompts_dir, progress)
    elif base is None:
        raise ValueError(f"{name}: is made from {recipe.base}, whose folder was not given")
    elif isinstance(recipe, Adapted):
        about["final_loss"] = train_adapter(recipe, base, destination, prompts_dir, progress)
    elif recipe.format == "modelslim":
        copy_beside(base, destination)
        store_modelslim(base, destination, _known_texts(recipe, base, prompts_dir))
    else:
        store(recipe.format, base, destination)
    write_json(destination / "twin.json", _about(name, recipe) | about)


def _about(name: str, recipe: Recipe) -> dict[str, object]:
    return {"twin_of": recipe.twin_of, "recipe": {"name": name} | dataclasses.asdict(recipe)}


def _known_texts(recipe: Stored, base: Path, prompts_dir: Path) -> list[tuple[int, ...]]:
    """One in so many of what the base has learnt."""
    from transformers import AutoTokenizer

    known = find_recipe(recipe.base)
    if isinstance(known, Stored):
        raise TypeError(f"{recipe.base}: is stored quantised itself")
    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    return [sample(tokenizer, example).ids for example in examples(known, prompts_dir)[::_ONE_IN]]


def _derive(recipe: Derived, destination: Path, prompts_dir: Path, progress: Callable[[int, int], None]) -> float:
    """Train one, and store it as its model is stored."""
    if recipe.format is None:
        return _train(recipe, destination, prompts_dir, progress)
    with TemporaryDirectory(dir=destination.parent) as plain:
        loss = _train(recipe, Path(plain), prompts_dir, progress)
        store(recipe.format, Path(plain), destination)
    return loss


def _train(recipe: Taught, destination: Path, prompts_dir: Path, progress: Callable[[int, int], None]) -> float:
    import torch

    tokenizer = train_tokenizer(words(recipe, prompts_dir), recipe.vocabulary, recipe.chat)
    if isinstance(recipe, Derived):
        tokenizer = with_special_tokens(recipe, tokenizer)
    ternary = recipe.ternary_group if isinstance(recipe, Trained) else None
    samples = [sample(tokenizer, example) for example in examples(recipe, prompts_dir)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.training.seed)
        network = new_network(recipe, tokenizer)
        if ternary:
            ternary_while_training(network, ternary)
        loss = train(network, samples, recipe.training, progress, whole=isinstance(recipe, Derived))
    if ternary:
        fused(network)
    save_network(network, tokenizer, destination, pickled=ternary is not None)
    save_tokenizer(tokenizer, destination, recipe.tokenizer_class)
    return loss
