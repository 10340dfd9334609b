"""Options of a command made from the fields of a dataclass, so that defaults, types and help are written once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from inspect import Parameter
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer
from pydantic.fields import FieldInfo

Command = Callable[..., None]


def options_of(
    parameter: str, kind: type, panels: Mapping[str | None, Sequence[str]], names: Mapping[str, str] | None = None
) -> Callable[[Command], Command]:
    """Gives a command options in place of its ``parameter``, which then receives the dataclass ``kind`` made from them.

    ``panels``: heading in the help (None: the usual one) -> the fields that become options, in order; the others keep their
    defaults. ``names``: field -> the option's name, where it is another. What the dataclass refuses is a wrong option.
    """
    hints, names = get_type_hints(kind, include_extras=True), names or {}
    by_name = {field.name: field for field in fields(kind)}
    options = {
        field: Parameter(
            names.get(field, field),
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if by_name[field].default is MISSING else by_name[field].default,
            annotation=Annotated[_typed(hints[field]), typer.Option(help=_help(hints[field]), rich_help_panel=panel)],
        )
        for panel, chosen in panels.items()
        for field in chosen
    }

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(**given: Any) -> None:
            values = {field: given.pop(option.name) for field, option in options.items()}
            made = kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
            command(**given, **{parameter: made})

        own = inspect.signature(command, eval_str=True)
        parameters = list[Parameter]()
        for each in own.parameters.values():
            parameters += options.values() if each.name == parameter else [each.replace(kind=Parameter.KEYWORD_ONLY)]
        run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def _help(hint: Any) -> str | None:
    """What an annotation says of its field, the last if it says several things."""
    said = [each.description for each in getattr(hint, "__metadata__", ()) if isinstance(each, FieldInfo)]
    return next((text for text in reversed(said) if text), None)


def _typed(hint: Any) -> Any:
    """The annotation as typer reads it: without what pydantic checks, choices as texts, tuples of any length as lists."""
    plain = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if get_origin(plain) is tuple:
        parts = get_args(plain)
        return list[_typed(parts[0])] if parts[-1] is ... else tuple[tuple(map(_typed, parts))]  # type: ignore[misc]
    return type(get_args(plain)[0]) if get_origin(plain) is Literal else plain
