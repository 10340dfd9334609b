"""Exercises: a student's function against its check, and the proof that a check refuses what is wrong.

A check is a function of the student's function. It calls it and raises ``AssertionError`` with what is wrong and what to look at;
it need not think of None, of exceptions or of values that it cannot use: ``run_check`` tells those in words.
"""

from __future__ import annotations

import functools
import inspect
import reprlib
import textwrap
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Function = Callable[..., Any]
Check = Callable[[Function], None]
Catalogue = Iterable[tuple[str, Function]]  # words that the message must hold, and a wrong answer
WIDTH = 76  # characters a line of the book holds


@dataclass(frozen=True)
class Outcome:
    """Whether a check passed, and if not the ``message`` for the student."""

    passed: bool
    message: str = ""


def attempt(check: Check, answer: Function) -> None:
    """Run a check on a student's function and print what comes of it. Nothing that the function does wrong is raised."""
    found = run_check(check, answer)
    print("Right." if found.passed else textwrap.fill(f"Not yet: {found.message}", WIDTH, subsequent_indent="  "))


def run_check(check: Check, answer: Function) -> Outcome:
    """Run a check on a student's function.

    The message is the check's own, unless the function raised, returned None, or returned what the check cannot go on with: then
    it says that. Raises what the check raises by itself, before the function has returned anything: a fault of the check.
    """
    if not callable(answer):
        return Outcome(False, f"a function is wanted here, and this is {_said(answer)}.")
    name = _name(answer)
    returned: list[Any] = []
    raised: list[Exception] = []
    given: list[str] = []

    @functools.wraps(answer)
    def watched(*args: Any, **kwargs: Any) -> Any:
        try:
            value = answer(*args, **kwargs)
        except Exception as fault:
            raised.append(fault)
            given.append(_arguments(args, kwargs))
            raise
        returned.append(value)
        return value

    try:
        check(watched)
    except Exception as fault:
        for own, what in zip(raised, given, strict=True):
            if fault is own:
                return Outcome(False, f"{name} raises {_told(fault)}{_line(fault, answer)}; it was given {what}.")
        if not returned and not isinstance(fault, AssertionError):
            raise
        if returned and returned[-1] is None:
            return Outcome(False, f"{name} returns nothing (None); does it end with a `return`?")
        if isinstance(fault, AssertionError):
            return Outcome(False, str(fault) or "the check refuses it, and does not say why.")
        return Outcome(
            False,
            f"{name} returned {_said(returned[-1])}, and the check cannot go on with that ({_told(fault)}). "
            "Is it of the form that the exercise asks for?",
        )
    return Outcome(True)


def must_accept(check: Check, *answers: Function) -> None:
    """The check must pass each of these right answers. Raises ``AssertionError`` that lists those it refuses, and why."""
    found = [(answer, run_check(check, answer)) for answer in answers]
    _raise(check, [f"{_name(answer)} is right and refused: {v.message}" for answer, v in found if not v.passed])


def must_refuse(check: Check, wrong: Catalogue) -> int:
    """The check must refuse each wrong answer of a catalogue, and tell it its own fault; returns how many there are.

    Raises ``AssertionError`` that lists every answer
    that passes or is told something else, and ``ValueError`` for an empty catalogue or one without the words.
    """
    catalogue = list(wrong)
    if not catalogue or not all(words.strip() for words, _ in catalogue):
        raise ValueError(f"must_refuse: {_name(check)} needs wrong answers, each with words of what it is to be told.")
    found = [(number, words, run_check(check, answer)) for number, (words, answer) in enumerate(catalogue, 1)]
    _raise(
        check,
        [
            f"wrong answer {number} passes; to be told {words!r}"
            if v.passed
            else f"wrong answer {number} is to be told {words!r}, and is told: {v.message}"
            for number, words, v in found
            if words not in v.message
        ],
    )
    return len(catalogue)


def _raise(check: Check, faults: list[str]) -> None:
    if faults:
        raise AssertionError("\n".join([f"{_name(check)}:", *faults]))


def _name(function: Function) -> str:
    name = function.__name__ if inspect.isfunction(function) else type(function).__name__
    return "the function" if name == "<lambda>" else f"`{name}`"


def _said(value: Any) -> str:
    """A value's type and its first characters."""
    return f"{type(value).__name__} {textwrap.shorten(reprlib.repr(value), 60)}"


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """What a call was given, each argument by its first characters."""
    texts = [*map(reprlib.repr, args), *(f"{key}={reprlib.repr(value)}" for key, value in kwargs.items())]
    return ", ".join(textwrap.shorten(text, 60) for text in texts) or "nothing"


def _told(fault: Exception) -> str:
    return f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__


def _line(fault: Exception, answer: Function) -> str:
    """Where in the student's own text the fault arose; '' if not there. A fault of another process has it as a note."""
    notes = getattr(fault, "__notes__", ())  # Python makes the attribute with the first note
    if notes:
        return f", {notes[0]}" if notes[0] else ""
    if not inspect.isfunction(answer):
        return ""
    frames = traceback.extract_tb(fault.__traceback__)
    called = max(
        at for at, frame in enumerate(frames) if frame.filename == __file__
    )  # the check may share the answer's file
    own = [f for f in frames[called + 1 :] if f.filename == answer.__code__.co_filename]
    return f", at `{own[-1].line}`" if own and own[-1].line else ""
