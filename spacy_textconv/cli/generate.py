"""`python -m spacy textconv generate`."""

from pathlib import Path
from typing import Annotated, List, Optional

import typer
from spacy import util
from spacy.cli._util import Arg, Opt, import_code, setup_gpu
from wasabi import msg

from ..errors import Errors
from ._app import app
from .explain import check_output, read_texts

# What a shell says of a command that was stopped by ctrl-C.
INTERRUPTED = 130


@app.command("generate")
def generate_cli(
    model: Annotated[str, Arg(help="Model name or path")],
    prompt: Annotated[str, Opt("--prompt", "-p", help="What texts begin with")] = "",
    n: Annotated[int, Opt("--n", "-n", help="Number of texts", min=1)] = 1,
    temperature: Annotated[
        float, Opt(help="The higher, the more surprising texts are; greater than 0")
    ] = 1.0,
    top_k: Annotated[
        Optional[int], Opt(help="Draw from this many of the most probable symbols")
    ] = None,
    top_p: Annotated[
        Optional[float],
        Opt(help="Draw from the fewest symbols that together have this probability"),
    ] = None,
    seed: Annotated[
        Optional[int], Opt(help="Equal seeds write the same; the next text has the next seed")
    ] = None,
    max_length: Annotated[int, Opt("--max-length", "-m", help="Largest number of symbols")] = 1000,
    surprise: Annotated[bool, Opt("--surprise", help="Draw how surprising a text is")] = False,
    unit: Annotated[
        Optional[List[int]], Opt(help="Draw a unit of the last layer; may be given several times")
    ] = None,
    text: Annotated[Optional[str], Opt("--text", "-t", help="Text to draw")] = None,
    input_path: Annotated[
        Optional[Path],
        Opt("--input", "-i", help="File with a text in each line", exists=True, dir_okay=False),
    ] = None,
    output_path: Annotated[
        Optional[Path], Opt("--output", "-o", help="HTML file to write", dir_okay=False)
    ] = None,
    component: Annotated[
        Optional[str], Opt(help="Name of the language model, if not the first one")
    ] = None,
    force: Annotated[bool, Opt("--force", "-F", help="Replace the HTML file if it exists")] = False,
    code_path: Annotated[
        Optional[Path],
        Opt("--code", "-c", help="Python file with additional code (registered functions)"),
    ] = None,
    use_gpu: Annotated[int, Opt("--gpu-id", "-g", help="GPU ID or -1 for CPU")] = -1,
) -> None:
    """
    Write texts with a language model, letter by letter as they come; ctrl-C
    stops it. With --surprise or --unit, draw given texts instead, as an HTML
    page of heat maps: how surprising each letter is after those before it, or
    what a unit of the network makes of it.
    """
    draws = surprise or bool(unit)
    texts: List[str] = []
    if draws and output_path is not None:
        check_output(output_path, force)
        texts = read_texts(text, input_path)
    if draws != bool(texts) or draws != (output_path is not None):
        msg.fail(Errors.E184, exits=1)
    import_code(code_path)
    # Nothing but the texts is printed.
    setup_gpu(use_gpu, silent=True)
    try:
        nlp = util.load_model(model)
    except (OSError, ValueError) as err:
        msg.fail(Errors.E047.format(reason=err), exits=1)
    # What needs torch is imported when a command runs, so that others start as fast as without.
    from ..explain import find_language_model, read, render_readings

    try:
        if output_path is not None:
            readings = read(nlp, texts, component=component, surprise=surprise, units=unit or ())
            output_path.write_text(render_readings(readings, page=True), encoding="utf8")
            msg.good(f"Drew {len(texts)} text(s) in {output_path}")
            return
        lm = find_language_model(nlp, component)
        for i in range(n):
            if i:
                typer.echo("\n")
            for part in lm.stream(
                prompt,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                seed=None if seed is None else seed + i,
                max_length=max_length,
            ):
                typer.echo(part, nl=False)
        typer.echo()
    except ValueError as err:
        msg.fail(str(err), exits=1)
    except KeyboardInterrupt:
        # What was written stays, and the prompt of the shell gets a line of its own.
        typer.echo()
        raise typer.Exit(INTERRUPTED) from None
