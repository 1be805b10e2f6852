"""`python -m spacy textconv annotate`."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Dict, Iterator, Optional

import srsly
import tqdm
from spacy.cli._util import Arg, Opt
from wasabi import msg
from weasel.util import get_checksum

from ..errors import Errors
from ._app import app
from ._engines import Annotator, Worker, annotate_in_processes, annotate_with_ray
from ._shards import TEMPORARY, Shard, plan_shards, whole_file

MANIFEST = "manifest.json"


class Format(str, Enum):
    spacy = "spacy"
    jsonl = "jsonl"


class Engine(str, Enum):
    local = "local"
    ray = "ray"


@app.command("annotate")
def annotate_cli(
    model: Annotated[str, Arg(help="Model name or path")],
    input_path: Annotated[
        Path,
        Arg(
            metavar="INPUT",
            help="File, or folder of files: .jsonl with a `text` and maybe a `meta` in each line, "
            ".txt with a document in each line, or .spacy",
            exists=True,
        ),
    ],
    output_path: Annotated[
        Path, Arg(metavar="OUTPUT", help="Folder for the documents", file_okay=False)
    ],
    file_format: Annotated[
        Format, Opt("--format", "-f", help="Format of the output")
    ] = Format.spacy,
    shard_size: Annotated[
        int, Opt(help="Largest number of documents in a file of the output", min=1)
    ] = 1000,
    engine: Annotated[
        Engine, Opt("--engine", "-e", help="Processes of this machine, or those of a Ray cluster")
    ] = Engine.local,
    n_process: Annotated[
        int, Opt("--n-process", "-n", help="Number of processes, each with the model", min=1)
    ] = 1,
    batch_size: Annotated[
        Optional[int], Opt("--batch-size", "-b", help="Batch size, if not that of the model", min=1)
    ] = None,
    code_path: Annotated[
        Optional[Path],
        Opt("--code", "-c", help="Python file with additional code (registered functions)"),
    ] = None,
    use_gpu: Annotated[int, Opt("--gpu-id", "-g", help="GPU ID or -1 for CPU")] = -1,
) -> None:
    """
    Annotate many documents with a trained pipeline. After an interruption, the
    same command goes on where it was: no document is lost or written twice.
    Nothing is ever overwritten.
    """
    # Ray's workers may run in another folder.
    input_path, output_path = input_path.resolve(), output_path.resolve()
    worker = Worker(
        model=str(Path(model).resolve()) if Path(model).exists() else model,
        code=str(code_path.resolve()) if code_path is not None else None,
        gpu_id=use_gpu,
        batch_size=batch_size,
    )
    alone = engine is Engine.local and n_process == 1
    try:
        annotator = Annotator(worker if alone else worker._replace(gpu_id=-1))
    except (OSError, ValueError) as err:
        msg.fail(Errors.E047.format(reason=err), exits=1)
    try:
        files, shards = plan_shards(input_path, output_path, f".{file_format.value}", shard_size)
    except ValueError as err:
        msg.fail(str(err), exits=1)
    nlp = annotator.nlp
    settings = {
        "model": {name: nlp.meta[name] for name in ("lang", "name", "version")},
        "model_checksum": get_checksum(nlp.path),
        "input": files,
        "format": file_format.value,
        "shard_size": shard_size,
    }
    _claim(output_path, settings)
    pending = [shard for shard in shards if not Path(shard["output"]).exists()]
    if not pending:
        msg.fail(Errors.E145.format(path=output_path), exits=1)
    if alone:
        annotated: Iterator[Shard] = map(annotator, pending)
    elif engine is Engine.local:
        annotated = annotate_in_processes(pending, worker, n_process)
    else:
        annotated = annotate_with_ray(pending, worker, n_process)
    n_docs, n_pending = (sum(shard["n_docs"] for shard in part) for part in (shards, pending))
    try:
        with tqdm.tqdm(total=n_docs, initial=n_docs - n_pending, unit="doc", disable=None) as bar:
            for shard in annotated:
                bar.update(shard["n_docs"])
    except ValueError as err:
        msg.fail(str(err), exits=1)
    msg.good(f"Annotated {n_pending} document(s) in {output_path}")


def _claim(output_path: Path, settings: Dict[str, Any]) -> None:
    """Begin an output, or go on with one of the same settings."""
    manifest = output_path / MANIFEST
    if manifest.exists():
        before = srsly.read_json(manifest)
        changed = [name for name in settings if settings[name] != before.get(name)]
        if changed:
            message = Errors.E144.format(path=output_path, settings=", ".join(changed))
            msg.fail(message, exits=1)
    else:
        output_path.mkdir(parents=True, exist_ok=True)
        if any(path.suffix != TEMPORARY for path in output_path.iterdir()):
            msg.fail(Errors.E143.format(path=output_path), exits=1)
        with whole_file(manifest) as path:
            srsly.write_json(path, settings)
    # What was being written when a run was killed.
    for path in output_path.glob(f"*{TEMPORARY}"):
        path.unlink()
