"""Words per second of whole pipelines of one kind, taking turns."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import srsly
import typer
from contestants import Device, enter
from measure import FULL, QUICK, machine_facts, measure_pipelines, named_paths
from report import parts_table, run_label
from wasabi import msg

PARTS = {"pipe_docs": "Prediction, from tokens", "train": "Training"}


def main(
    corpus: Annotated[Path, typer.Argument(help="An annotated .spacy file")],
    output: Path,
    ours: Annotated[str, typer.Option(help="NAME=CONFIG of a pipeline of ours")],
    peer: Annotated[list[str], typer.Option(help="NAME=CONFIG of another, the first for ratios")],
    lang: str = "en",
    threads: list[int] = [1, 2],  # noqa: B006
    gpu_id: Annotated[int, typer.Option(help="A CUDA device, with one thread; -1 for none")] = -1,
    turns: Annotated[int, typer.Option(help="The most turns of prediction")] = FULL.turns,
    train_turns: Annotated[int, typer.Option(help="The number of training steps")] = (
        FULL.train_turns
    ),
    quick: Annotated[bool, typer.Option(help="Try everything at toy size")] = False,
) -> None:
    """Measure pipelines on CORPUS with each number of THREADS, both with Thinc's matrix product and
    with numpy's in the peers, or on a GPU. Write all numbers to OUTPUT (JSON), and a table beside
    it."""
    sizes = QUICK if quick else replace(FULL, turns=turns, train_turns=train_turns)
    paths = named_paths([*peer, ours])
    peer_name = next(iter(paths))
    if gpu_id >= 0:
        devices = [Device(1, gpu_id)]
    else:
        devices = [Device(number, numpy_product=p) for number in threads for p in (False, True)]
    runs: dict[str, dict[str, Any]] = {}
    for device in devices:
        machine = machine_facts(device)
        msg.info(run_label(machine))
        with enter(paths, corpus, lang, device, named_paths([ours])) as contestants:
            parts = measure_pipelines(contestants, peer_name, ["pipe_docs"], sizes, 1)
        runs[run_label(machine)] = {"machine": machine, "peer": peer_name, "parts": parts}
    output.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(output, list(runs.values()))
    sections = [
        "# Speed of whole pipelines",
        f"Words per second, and the ratio to {peer_name}.",
        parts_table(runs, "parts", PARTS),
    ]
    text = "\n\n".join(sections) + "\n"
    output.with_suffix(".md").write_text(text, encoding="utf8")
    print(text)


if __name__ == "__main__":
    typer.run(main)
