"""Words per second of whole pipelines of one kind, on one or several corpora, taking turns."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Dict, List

import srsly
import typer
from measure import FULL, QUICK, build, machine_facts, measure_pipelines, named_paths
from memory import use_device
from report import parts_table, run_label
from wasabi import msg

PARTS = {"pipe_docs": "Prediction, from tokens", "train": "Training"}


def main(
    output: Path,
    corpus: Annotated[List[str], typer.Option(help="NAME=PATH of an annotated .spacy file")],
    ours: Annotated[str, typer.Option(help="NAME=CONFIG of a pipeline of ours")],
    peer: Annotated[List[str], typer.Option(help="NAME=CONFIG of another, the first for ratios")],
    lang: str = "en",
    threads: List[int] = [1, 2],  # noqa: B006
    gpu_id: Annotated[int, typer.Option(help="A CUDA device, with one thread; -1 for none")] = -1,
    turns: Annotated[int, typer.Option(help="The most turns of prediction")] = FULL.turns,
    train_turns: Annotated[int, typer.Option(help="The number of training steps")] = (
        FULL.train_turns
    ),
    quick: Annotated[bool, typer.Option(help="Try everything at toy size")] = False,
) -> None:
    """Measure pipelines on every CORPUS with each number of THREADS, or on a GPU. Write all numbers
    to OUTPUT (JSON), and tables beside it."""
    sizes = QUICK if quick else replace(FULL, turns=turns, train_turns=train_turns)
    paths = named_paths([*peer, ours])
    peer_name = next(iter(paths))
    results: List[Dict[str, Any]] = []
    for number in [1] if gpu_id >= 0 else threads:
        use_device(number, gpu_id)
        machine = machine_facts(number, gpu_id)
        result: Dict[str, Any] = {"machine": machine, "peer": peer_name}
        for name, path in named_paths(corpus).items():
            msg.info(f"{run_label(machine)}, {name}")
            pipelines = {key: build(config, path, lang) for key, config in paths.items()}
            result[name] = measure_pipelines(pipelines, peer_name, ["pipe_docs"], sizes, 1)
        results.append(result)
    output.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(output, results)
    runs = {run_label(result["machine"]): result for result in results}
    sections = ["# Speed of whole pipelines", f"Words per second, and the ratio to {peer_name}."]
    for name in named_paths(corpus):
        sections += [f"## {name}", parts_table(runs, name, PARTS)]
    text = "\n\n".join(sections) + "\n"
    output.with_suffix(".md").write_text(text, encoding="utf8")
    print(text)


if __name__ == "__main__":
    typer.run(main)
