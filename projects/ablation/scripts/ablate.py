"""Train the variants of a config one after the other, for the same number of words."""

import re
import time
from pathlib import Path
from statistics import median
from typing import Any

import spacy
import srsly
import torch
import typer
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Corpus
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import load_config
from thinc.api import Config
from wasabi import msg


def main(
    config: Path,
    variants: Path,
    corpus: Path,
    training: Path,
    output: Path,
    words: int = 1_000_000,
    rounds: int = 5,
    lang: str = "en",
) -> None:
    """Train each of the VARIANTS of CONFIG on CORPUS, a folder with `train.spacy` and `dev.spacy`,
    with one thread. Write their scores and their speed on dev to OUTPUT (JSON). What has been
    trained with as many WORDS, in the folder TRAINING, is not trained again."""
    torch.set_num_threads(1)
    plan = srsly.read_yaml(variants)
    pipelines: dict[str, Language] = {}
    results: dict[str, dict[str, Any]] = {}
    for group, members in plan["groups"].items():
        for name, changes in members.items():
            folder = training / str(words) / re.sub(r"\W+", "_", name)
            if not folder.exists():
                msg.info(f"{group}: {name}")
                paths = {f"{plan['section']}.{path}": value for path, value in changes.items()}
                changed = change(load_config(config), {**plan.get("common", {}), **paths})
                # A training that is interrupted leaves a `model-last`, too.
                unfinished = folder.with_name(f"{folder.name}-unfinished")
                unfinished.mkdir(parents=True, exist_ok=True)
                train(init_nlp(set_training(changed, corpus, words, lang)), unfinished)
                unfinished.rename(folder)
            nlp = pipelines[name] = spacy.load(folder / "model-last")
            scores = nlp.evaluate(list(Corpus(corpus / "dev.spacy")(nlp)))
            results[name] = {
                "group": group,
                "unchanged": not changes,
                "parameters": count_parameters(nlp),
                "scores": {key: scores[key] for key in plan["scores"]},
            }
    for name, rate in measure_rates(pipelines, corpus / "dev.spacy", rounds).items():
        results[name]["rate"] = rate
    output.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(output, {"words": words, "scores": plan["scores"], "variants": results})
    msg.good(str(output))


def change(config: Config, changes: dict[str, Any]) -> Config:
    """Put other values at some places of a config.

    config (Config): The config.
    changes (dict[str, Any]): The values, or whole sections, by paths such as "training.dropout".
    RETURNS (Config): The same config.
    """
    for path, value in changes.items():
        *parents, last = path.split(".")
        section = config
        for parent in parents:
            section = section[parent]
        section[last] = value
    return config


def set_training(config: Config, corpus: Path, words: int, lang: str) -> Config:
    """Let a config train for a number of words, in batches of its own size, and evaluate once."""
    steps = max(1, words // config["training"]["batcher"]["size"])
    return change(
        config,
        {
            "nlp.lang": lang,
            "paths.train": str(corpus / "train.spacy"),
            "paths.dev": str(corpus / "dev.spacy"),
            "training.max_steps": steps,
            "training.eval_frequency": steps,
            "training.patience": 0,
            "training.optimizer.learn_rate.total_steps": steps,
            "training.optimizer.learn_rate.warmup_steps": steps // 10,
        },
    )


def count_parameters(nlp: Language) -> int:
    """Count the weights of all components."""
    total = 0
    for _, component in nlp.pipeline:
        for node in component.model.walk():
            total += sum(node.get_param(name).size for name in node.param_names)
            for shim in node.shims:
                total += sum(weights.numel() for weights in shim.module.parameters())
    return total


def measure_rates(pipelines: dict[str, Language], path: Path, rounds: int) -> dict[str, float]:
    """Time `nlp.pipe` over documents of words that no cache knows. All pipelines take turns.

    pipelines (dict[str, Language]): The pipelines.
    path (Path): The documents.
    rounds (int): The number of turns of each.
    RETURNS (dict[str, float]): The median of the words per second, in which only the time of this
        process counts, and not that of other work on the machine.
    """
    rates: dict[str, list] = {name: [] for name in pipelines}
    for _ in range(rounds):
        for name, nlp in pipelines.items():
            # Loading empties the caches.
            nlp.from_bytes(nlp.to_bytes())
            texts = [eg.reference for eg in Corpus(path)(nlp)]
            docs = [Doc(nlp.vocab, words=[token.text for token in doc]) for doc in texts]
            start = time.process_time()
            for _ in nlp.pipe(docs):
                pass
            seconds = time.process_time() - start
            rates[name].append(sum(map(len, docs)) / seconds)
    return {name: median(values) for name, values in rates.items()}


if __name__ == "__main__":
    typer.run(main)
