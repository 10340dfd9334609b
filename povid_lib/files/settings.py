"""Settings: read from YAML, and checked with all faults at once, each under its path (``text.learning_rate``).

The types, ranges and choices stand in the annotations of the dataclass that holds the settings; pydantic checks them, field by
field and strictly, so that a text is never taken for a number or for true. The sentences are ours.
"""

from __future__ import annotations

import difflib
import functools
import re
import types
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import numpy as np
import yaml
from pydantic import ConfigDict, Field, GetCoreSchemaHandler, TypeAdapter, ValidationError

from povid_lib.files.jsonl import check_file

_FEW = 12  # settings that can be listed in a sentence
_BYTES = 1_000_000
_DEEP = 50  # brackets within brackets
_LONG = 80  # letters of a value that are shown
_QUOTED = re.compile(
    r"[-+.\d]+(e[-+]?\d+)?|true|false", re.IGNORECASE
)  # which YAML reads as text if it stands in quotes
_PLAIN = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping",
}


@dataclass(frozen=True)
class Remedy:
    """In an annotation: what to do about a value that will not do. ``secret``: the value is not shown, and ``text`` says all.
    ``known``: the only values, if there are any."""

    text: str
    secret: bool = False
    known: tuple[str, ...] = ()

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return handler.generate_schema(Literal[self.known]) if self.known else handler(source)


def one_of(known: Iterable[str], more: str = "") -> Remedy:
    """In the annotation of a text that is one of these."""
    known = tuple(known)
    return Remedy(f"choose one of {', '.join(known)}{more}", known=known)


Name = Annotated[str, Field(pattern=r"\S"), Remedy("give a text that is not empty")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), Remedy("give a number above 0")]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), Remedy("give a number that is 0 or more")]
Share = Annotated[float, Field(ge=0, le=1), Remedy("give a share, from 0 to 1")]
Count = Annotated[int, Field(ge=1), Remedy("give a whole number, 1 or more")]
Whole = Annotated[int, Field(ge=0), Remedy("give a whole number, 0 or more")]


class Fault(NamedTuple):
    """One fault: the setting's path, and what is said of it, with the separator that stands between the two."""

    path: str
    said: str

    def under(self, at: str) -> Fault:
        """The same fault of settings that are themselves one setting."""
        return Fault(f"{at}.{self.path}" if at and self.path else at or self.path, self.said)

    def __str__(self) -> str:
        return self.path + self.said if self.path else self.said.removeprefix(": ")


class SettingsError(ValueError):
    """Settings that cannot be used; ``faults`` has what is wrong with them, with paths from where they are read."""

    def __init__(self, where: str, faults: list[Fault]) -> None:
        self.faults = faults
        lines = [said if (said := str(fault)).endswith("?") else f"{said}." for fault in faults]
        super().__init__(where + (lines[0] if len(lines) == 1 else f"{len(lines)} faults\n  " + "\n  ".join(lines)))


def refuse(faults: list[Fault], path: str | Path) -> None:
    """Raise the ``SettingsError`` that names the file, if there is any fault."""
    if faults:
        raise SettingsError(f"{path}: ", faults)


def check(settings: Any, combined: Iterable[str] = ()) -> None:
    """Check a dataclass that has just been made, and then what no field shows alone: ``combined`` yields what is wrong there, and
    is asked only if every field is sound. Raises ``SettingsError`` with all faults."""
    kind = type(settings)
    found = faults(kind, {f.name: getattr(settings, f.name) for f in fields(kind)})
    refuse_made(settings, found or [Fault("", f": {fault}") for fault in combined])


def refuse_made(settings: Any, found: list[Fault]) -> None:
    """Raise the ``SettingsError`` about settings that were made in Python, if there is any fault; it names their class."""
    if found:
        name = type(settings).__name__
        error = SettingsError("", [fault.under(name) for fault in found])
        error.faults = found
        raise error


def faults(
    kind: type, values: Mapping[str, Any], narrower: Mapping[str, Any] | None = None, complete: bool = True
) -> list[Fault]:
    """What is wrong with these values for the fields of the dataclass ``kind``: unknown, missing (unless not ``complete``), of
    another type or out of range. ``narrower``: field -> annotation, in place of the dataclass's own."""
    hints, found = {**_hints(kind), **(narrower or {})}, list[Fault]()
    for name, value in values.items():
        if name not in hints:
            close = difflib.get_close_matches(name, hints, 1)
            remedy = f"did you mean {close[0]}?" if close else "leave it out"
            if not close and len(hints) <= _FEW:
                remedy = f"choose among {', '.join(hints)}"
            found.append(Fault(name, f" is no setting of {kind.__name__}; {remedy}"))
        elif fault := _fault(hints[name], value):
            found.append(Fault(name, fault))
    for field in fields(kind) if complete else ():
        if field.name not in values and field.default is MISSING and field.default_factory is MISSING:
            found.append(Fault(field.name, f" is missing; {_remedy(hints[field.name]).text}"))
    return found


def _fault(hint: Any, value: Any) -> str:
    """What is said of a value that pydantic does not take for this annotation; "" if it does."""
    try:
        _adapter(hint).validate_python(value.item() if isinstance(value, np.generic) else value)
    except ValidationError:
        remedy = _remedy(hint)
        if remedy.secret:
            return f" {remedy.text}"
        quoted = ", without quotes" if isinstance(value, str) and _QUOTED.fullmatch(value) else ""
        return f" is {_shown(value)}; {remedy.text}{quoted}"
    return ""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind) if field.init}


@functools.cache
def _adapter(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(hint, config=ConfigDict(strict=True, arbitrary_types_allowed=True))


def _remedy(hint: Any) -> Remedy:
    """The annotation's own remedy, the last if there are several, or what follows from its type."""
    own = [each for each in getattr(hint, "__metadata__", ()) if isinstance(each, Remedy)]
    if own:
        return own[-1]
    plain = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if get_origin(plain) is Literal:
        return Remedy(f"choose one of {', '.join(map(str, get_args(plain)))}")
    if isinstance(plain, type) and issubclass(plain, Enum):
        return Remedy(f"choose one of {', '.join(str(member.value) for member in plain)}")
    if get_origin(plain) in (Union, types.UnionType):
        parts = [_remedy(part).text.removeprefix("give ") for part in get_args(plain) if part is not type(None)]
        null = ", or null" if type(None) in get_args(plain) else ""
        return Remedy(" or ".join(dict.fromkeys([f"give {parts[0]}", *parts[1:]])) + null)
    return Remedy(f"give {_PLAIN.get(get_origin(plain) or plain, getattr(plain, '__name__', str(plain)))}")


# --- YAML --------------------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as PyYAML reads it, but numbers as in YAML 1.2 (``1e-5`` is one, ``010`` ten, ``1:30`` a text),
    and what stands twice, refers back or lies too deep is refused."""

    def fetch_flow_collection_start(self, kind: Any) -> None:
        if self.flow_level >= _DEEP:  # the time that PyYAML takes grows with the square of the depth
            raise yaml.MarkedYAMLError(problem="brackets are nested too deep", problem_mark=self.get_mark())
        super().fetch_flow_collection_start(kind)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(
                problem="an alias (*) is not read here; write out what it stands for", problem_mark=mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set[str]()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                name = key.value if isinstance(key, yaml.ScalarNode) else "that is a list or a mapping"
                problem = f"the name {name} is no text; put it into quotes"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            if key.value in seen:
                problem = f"{key.value} stands twice; take one out"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _whole(loader: _Loader, node: yaml.ScalarNode) -> int:
    """A whole number: YAML 1.1's octal 010 and its minutes 1:30 are no numbers that anyone means."""
    digits = loader.construct_scalar(node).replace("_", "")
    base = {"0x": 16, "0o": 8, "0b": 2}.get(digits.lstrip("-+")[:2].lower(), 10)
    return int(digits, base)


_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if tag not in (_INT, _FLOAT)]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_constructor(_INT, _whole)
_Loader.add_implicit_resolver(
    _INT, re.compile(r"[-+]?(?:0x[0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+|\d[\d_]*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(  # YAML 1.2's, which need neither a point nor a sign of the exponent
    _FLOAT,
    re.compile(
        r"[-+]?(?:\.\d[\d_]*|\d[\d_]*\.[\d_]*|(?:\.\d+|\d+(?:\.\d*)?)[eE][-+]?\d+|\.(?:inf|Inf|INF))$|\.(?:nan|NaN|NAN)$"
    ),
    list("-+.0123456789"),
)


def read_yaml(path: str | Path, what: str, example: str) -> dict[str, Any]:
    """The mapping that a YAML file holds. ``what`` it should be, and an ``example`` of one, are named in the error.

    Raises ``OSError`` if the file cannot be read, and ``ValueError`` for a pipe, what is no YAML, no mapping, too deep, or has a
    name that stands twice, an alias, or a name that is no text.
    """
    if Path(path).exists():
        check_file(path)
        if Path(path).stat().st_size > _BYTES:
            raise ValueError(f"{path} has more than {_BYTES:,} bytes; {what} is YAML, see {example}.")
    try:
        found = yaml.load(Path(path).read_bytes(), _Loader)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
        raise ValueError(f"{path}{line}: {error.problem or error}; {what} is YAML, see {example}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as YAML ({error}); {what} is YAML, see {example}.") from error
    if not isinstance(found, dict):
        holds = "nothing" if found is None else _PLAIN.get(type(found), type(found).__name__)
        raise ValueError(f"{path} holds {holds}; {what} is a mapping, see {example}.")
    return found
