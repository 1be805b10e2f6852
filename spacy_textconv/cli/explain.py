"""`python -m spacy textconv explain`."""

from pathlib import Path
from typing import Annotated, List, Optional

from spacy import util
from spacy.cli._util import Arg, Opt, import_code, setup_gpu
from wasabi import msg

from ..errors import Errors
from ._app import app


@app.command("explain")
def explain_cli(
    model: Annotated[str, Arg(help="Model name or path")],
    output_path: Annotated[Path, Opt("--output", "-o", help="HTML file to write", dir_okay=False)],
    text: Annotated[Optional[str], Opt("--text", "-t", help="Text to explain")] = None,
    input_path: Annotated[
        Optional[Path],
        Opt("--input", "-i", help="File with a text in each line", exists=True, dir_okay=False),
    ] = None,
    component: Annotated[
        Optional[str], Opt(help="Name of the text classifier, if not the first one")
    ] = None,
    label: Annotated[
        Optional[str], Opt("--label", "-l", help="Label to explain, if not the most probable one")
    ] = None,
    force: Annotated[bool, Opt("--force", "-F", help="Replace the HTML file if it exists")] = False,
    code_path: Annotated[
        Optional[Path],
        Opt("--code", "-c", help="Python file with additional code (registered functions)"),
    ] = None,
    use_gpu: Annotated[int, Opt("--gpu-id", "-g", help="GPU ID or -1 for CPU")] = -1,
) -> None:
    """
    Draw what a text classifier looks at, as an HTML page of heat maps: which
    words or letters speak for a label and which against it, the weights of
    attention layers, and the n-grams' parts of the score.
    """
    check_output(output_path, force)
    texts = read_texts(text, input_path)
    if not texts:
        msg.fail(Errors.E046, exits=1)
    import_code(code_path)
    setup_gpu(use_gpu, silent=False)
    try:
        nlp = util.load_model(model)
    except (OSError, ValueError) as err:
        msg.fail(Errors.E047.format(reason=err), exits=1)
    # What needs torch is imported when a command runs, so that others start as fast as without.
    from ..explain import explain, render

    try:
        explanations = explain(nlp, texts, component=component, label=label)
    except ValueError as err:
        msg.fail(str(err), exits=1)
    output_path.write_text(render(explanations, page=True), encoding="utf8")
    msg.good(f"Explained {len(texts)} text(s) in {output_path}")


def check_output(path: Path, force: bool) -> None:
    """End with an error if a file can't be written, or is there already."""
    if not path.parent.is_dir():
        msg.fail(Errors.E045.format(path=path.parent), exits=1)
    if path.exists() and not force:
        msg.fail(Errors.E044.format(path=path), exits=1)


def read_texts(text: Optional[str], path: Optional[Path]) -> List[str]:
    """Read the text or the file; nothing if both or none are given."""
    if (text is None) == (path is None):
        return []
    if path is None:
        return [text] if text else []
    try:
        # A file from Windows may begin with a mark of its encoding.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as err:
        msg.fail(Errors.E048.format(path=path, reason=err), exits=1)
    return [line for line in lines if line.strip()]
