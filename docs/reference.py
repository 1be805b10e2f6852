"""The reference in Markdown, made of the docstrings, signatures and entry points of the package, so
that no argument is described twice. It fills the places of the pages that name a part of it."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, distribution
from inspect import Parameter, cleandoc, getdoc, isclass, isfunction, ismodule, signature
from pathlib import Path
from pkgutil import resolve_name
from string import Formatter
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer
from spacy import registry
from spacy.language import Language
from spacy.util import load_config
from thinc.api import Config

from spacy_textconv.cli import app
from spacy_textconv.errors import Errors, Warnings

CONFIGS = Path(__file__).parents[1] / "configs"
# In a config, `@architectures = "name"` is the function `name` of the group `spacy_architectures`.
SECTIONS = {
    "spacy_architectures": "model",
    "spacy_callbacks": "callback",
    "spacy_readers": "corpora.train",
    "spacy_scorers": "scorer",
}
LISTENER = {"@architectures": "spacy.Tok2VecListener.v1", "width": 128, "upstream": "tok2vec"}
MAXIMUM = {"@architectures": "spacy-textconv.PoolAttend.v1", "width": 128, "pooling": "max"}
ENCODER = {"@architectures": "spacy-textconv.DilatedConvEncoder.v1", "width": 128}
# What the excerpts of configs have for arguments without a default.
DECODER = {"@architectures": "spacy-textconv.CausalConvDecoder.v1"}
DECONV = {"@architectures": "spacy-textconv.DeconvDecoder.v1"}
FLATTEN = {"@architectures": "spacy-textconv.FlattenAttend.v1", "width": 128, "out_width": 256}
EXAMPLES: dict[str, Any] = {
    "attend": {"max": MAXIMUM},
    "component": "ner",
    "corpus": "${corpora.dev}",
    "decoder": DECODER,
    "encode": ENCODER,
    "exclusive_classes": True,
    "out_width": 128,
    "path": "${paths.train}",
    "pooling": MAXIMUM,
    "sizes": [1, 2],
    "target": "_.inflection",
    "tok2vec": LISTENER,
    "unit": "word",
    "width": 128,
}
# Those of functions that others suit better.
EXAMPLES_OF: dict[str, dict[str, Any]] = {
    "spacy-textconv.naive_bayes.v1": {"component": "textcat", "corpus": "${corpora.train}"},
    "spacy-textconv.TextVAE.v1": {"pooling": FLATTEN, "decoder": DECONV},
}
# `name (type): text` or `name, name (type): text`, with more lines that are indented.
FIELD = re.compile(r"^(\w+(?:, \w+)*) \((.+?)\): (.*(?:\n    .*)*)$", re.MULTILINE)
RESULTS = {"RETURNS": "Returns", "YIELDS": "Yields", "RAISES": "Raises"}


@dataclass
class Docstring:
    """What a docstring says.

    text (str): What stands before the fields.
    fields (dict[str, tuple[str, str]]): The type and the text of each field, such as an argument,
        RETURNS or RAISES.
    """

    text: str
    fields: dict[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, described: Any) -> "Docstring":
        text = getdoc(described) or ""
        fields = {
            name: (kind, " ".join(content.split()))
            for names, kind, content in FIELD.findall(text)
            for name in names.split(", ")
        }
        return cls(FIELD.sub("", text).strip(), fields)


def entry_points(group: str, *modules: str) -> list[EntryPoint]:
    """List what the package registers.

    group (str): The group, such as "spacy_architectures".
    modules (str): The modules and packages to list the functions of; all of them if none is given.
    RETURNS (list[EntryPoint]): The functions, module by module.
    """
    listed = [ep for ep in distribution("spacy-textconv").entry_points if ep.group == group]
    if not modules:
        return sorted(listed, key=lambda ep: ep.name)
    inside = [(module, ep) for module in modules for ep in listed if is_inside(ep.module, module)]
    return [ep for _, ep in inside]


def is_inside(module: str, parent: str) -> bool:
    return f"{module}.".startswith(f"{parent}.")


def describe_functions(group: str, *modules: str) -> str:
    """Describe registered functions, each under its name."""
    return join(describe_function(entry_point) for entry_point in entry_points(group, *modules))


def describe_function(entry_point: EntryPoint) -> str:
    function = entry_point.load()
    # What the scores are is said by what a scorer's function creates.
    functions = [function, function()] if entry_point.group == "spacy_scorers" else [function]
    return join(
        heading(entry_point.name.removeprefix("spacy-textconv."), entry_point.name),
        config_block(example_config(entry_point)),
        (Docstring.of(described).text for described in functions),
        arguments(function),
        results(Docstring.of(functions[-1])),
    )


def example_config(entry_point: EntryPoint) -> Config:
    """The section of a config that calls a registered function, with all of its arguments: the
    default, or what is in `EXAMPLES`."""
    registry = entry_point.group.removeprefix("spacy_")
    examples = EXAMPLES | EXAMPLES_OF.get(entry_point.name, {})
    section: dict[str, Any] = {f"@{registry}": entry_point.name}
    for name, default in defaults(entry_point.load()).items():
        if default is Parameter.empty and name not in examples:
            raise LookupError(f"`EXAMPLES` needs a value for `{name}` of {entry_point.name}.")
        section[name] = examples[name] if default is Parameter.empty else default
    for name in reversed(SECTIONS[entry_point.group].split(".")):
        section = {name: section}
    return Config(section)


def describe_components() -> str:
    """Describe the factories of components."""
    return join(map(describe_component, entry_points("spacy_factories")))


def describe_component(entry_point: EntryPoint) -> str:
    factory = entry_point.load()
    settings = Language.get_factory_meta(entry_point.name).default_config
    component = get_type_hints(factory)["return"]
    return join(
        heading(entry_point.name),
        config_block(Config({"components": {"name": {"factory": entry_point.name, **settings}}})),
        Docstring.of(component).text,
        arguments(factory, settings),
    )


def describe_python(described: Any) -> str:
    """Describe a module by what it exports, or a class or function."""
    if isinstance(described, str):
        described = resolve_name(described)
    if ismodule(described):
        parts = [getattr(described, name) for name in described.__all__]
        return join(describe_python(part) for part in parts if isclass(part) or isfunction(part))
    docstring = Docstring.of(described)
    return join(
        heading(described.__qualname__, f"{described.__module__}.{described.__qualname__}"),
        docstring.text,
        arguments(described, write=repr),
        attributes(described),
        results(docstring),
    )


def describe_commands() -> str:
    """Describe the commands."""
    return join(map(describe_command, typer.main.get_group(app).commands.values()))


def describe_command(command: Any) -> str:
    return join(
        heading(f"{app.info.name} {command.name}"),
        cleandoc(command.help),
        map(describe_option, command.params),
    )


def describe_option(option: Any) -> str:
    is_argument = option.param_type_name == "argument"
    names = [option.name.upper()] if is_argument else option.opts
    if option.required:
        said = "Required."
    else:
        said = "" if option.default in (None, False) else f"Defaults to `{option.default}`."
    term = ", ".join(f"`{name}`" for name in names)
    return definition(term, sentences(option.help, said))


def describe_configs() -> str:
    """List the encoders of the complete configs, and how far they see."""
    rows = ["| Config | Encoder | Width | Dilations | Block | Sees |"]
    rows.append("| --- | --- | ---: | --- | --- | ---: |")
    for path in sorted(CONFIGS.glob("*.cfg")):
        encoder = find_section(load_config(path, interpolate=True)["components"], "encode")
        if encoder is not None:
            [model] = registry.resolve({"encoder": encoder}).values()
            cells = [
                f"`{path.name}`",
                f"`{encoder['@architectures'].split('.')[1]}`",
                encoder["width"],
                ", ".join(map(str, encoder["dilations"])),
                encoder.get("block", ""),
                model.attrs["receptive_field"],
            ]
            rows.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(rows)


def find_section(config: dict[str, Any], name: str) -> dict[str, Any] | None:
    """Find the first section of a name, at any depth."""
    sections = {key: value for key, value in config.items() if isinstance(value, dict)}
    if name in sections:
        return sections[name]
    inside = (find_section(section, name) for section in sections.values())
    return next(filter(None, inside), None)


def describe_errors() -> str:
    """List all errors and warnings, by their codes."""
    return join(
        join(heading(f"{kind} {code}", code), fill_in(message))
        for kind, messages in (("Error", Errors), ("Warning", Warnings))
        for code, message in messages.__dict__.items()
        if not code.startswith("__")
    )


def fill_in(message: str) -> str:
    """Put names in the places that values are filled into."""
    parts = []
    for text, name, _, _ in Formatter().parse(message):
        parts.append(text)
        # What is filled into code is code, too.
        in_code = "".join(parts).count("`") % 2
        parts.append("" if name is None else name.upper() if in_code else f"*{name}*")
    return "".join(parts)


def in_config(value: Any) -> str:
    return Config({"section": {"value": value}}).to_str().split(" = ", maxsplit=1)[1]


def defaults(function: Callable) -> dict[str, Any]:
    """The default of each argument, `Parameter.empty` for none."""
    parameters = signature(function).parameters
    return {name: each.default for name, each in parameters.items() if name != "self"}


def attributes(described: Any) -> str:
    """Describe what a docstring says of others than the arguments, such as attributes."""
    others = Docstring.of(described).fields.items()
    known = {*defaults(described), *RESULTS}
    return join(
        definition(f"`{name}`: `{kind}`", text)
        for name, (kind, text) in others
        if name not in known
    )


def arguments(
    function: Callable,
    settings: dict[str, Any] | None = None,
    *,
    write: Callable[[Any], str] = in_config,
) -> str:
    """Describe the arguments of a function or class.

    function (Callable): The function.
    settings (dict[str, Any] | None): What a config has for the arguments, in the place of the
        defaults of the function. Other arguments are left out, and so are the defaults of those
        that are sections.
    write (Callable[[Any], str]): How a default is written.
    RETURNS (str): A list of definitions.
    """
    fields, hints = Docstring.of(function).fields, get_type_hints(function)
    parameters = signature(function).parameters
    described = []
    for name, default in (defaults(function) if settings is None else settings).items():
        # What a class inherits from torch is described there.
        if name not in fields:
            continue
        kind, text = fields[name]
        if get_origin(hints.get(name)) is Literal:
            kind = " | ".join(map(in_config, get_args(hints[name])))
        if parameters[name].kind is Parameter.VAR_KEYWORD:
            said = ""
        elif default is Parameter.empty:
            said = "Required."
        else:
            said = "" if isinstance(default, dict) else f"Defaults to `{write(default)}`."
        described.append(definition(f"`{name}`: `{kind}`", sentences(text, said)))
    return join(described)


def results(docstring: Docstring) -> str:
    """Describe what comes out of a function."""
    return join(
        definition(f"{label} `{docstring.fields[name][0]}`", docstring.fields[name][1])
        for name, label in RESULTS.items()
        if name in docstring.fields
    )


def config_block(config: Config) -> str:
    # The first section needs no header if it only has sections in it.
    text = re.sub(r"^\[\w+\]\n\n(?=\[)", "", config.to_str())
    return f"```ini\n{text}\n```"


def heading(title: str, target: str = "") -> str:
    return f"({target or title})=\n# {title}"


def definition(term: str, text: str) -> str:
    return f"{term}\n: {text}"


def sentences(*parts: str) -> str:
    """Join sentences, of which some end without a full stop and others are empty."""
    return " ".join(
        part if part.endswith((".", "!", "?", ":")) else f"{part}." for part in parts if part
    )


def join(*parts: str | Iterable[str]) -> str:
    """Join paragraphs; those that are empty are left out."""
    return "\n\n".join(part for part in flatten(parts) if part)


def flatten(parts: Iterable[str | Iterable[str]]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str):
            yield part
        else:
            yield from flatten(part)


DESCRIBE: dict[str, Callable[..., str]] = {
    "functions": describe_functions,
    "components": describe_components,
    "commands": describe_commands,
    "configs": describe_configs,
    "errors": describe_errors,
    "python": describe_python,
}
# A heading, or a place to be filled: `<!-- reference: functions spacy_readers -->`.
LANDMARK = re.compile(r"^(?:(#+) .*|<!-- reference: (\w+) ?(.*?) -->)$", re.MULTILINE)


def fill_page(page: str) -> str:
    """Fill the places of a page that name a part of the reference, with headings one level below
    that of the section."""
    level = 0

    def fill(landmark: re.Match) -> str:
        nonlocal level
        marks, name, names = landmark.groups()
        if marks:
            level = len(marks)
            return landmark[0]
        return re.sub("^# ", f"#{'#' * level} ", DESCRIBE[name](*names.split()), flags=re.MULTILINE)

    return LANDMARK.sub(fill, page)
