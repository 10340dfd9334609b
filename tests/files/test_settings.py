"""Settings: every fault at once with its path, and YAML that is no settings."""

import os
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pytest

from povid_lib.files import settings
from povid_lib.files.settings import Count, Remedy, SettingsError, Share, one_of


@dataclass(frozen=True)
class Kettle:
    litres: settings.Positive
    colour: Annotated[str, one_of(("red", "blue"))] = "red"
    cups: Count | None = None
    on: bool = False
    full: Share = 0.0
    key: Annotated[str, Remedy("must be a name", secret=True)] = ""

    def __post_init__(self) -> None:
        settings.check(self, self._combined())

    def _combined(self):
        if self.on and not self.full:
            yield "it is on and empty; fill it"


def test_sound_settings_are_kept_as_they_are():
    made = Kettle(2, "blue", np.int64(3), True, 1)  # type: ignore[arg-type]
    assert (made.litres, made.colour, made.cups, made.on, made.full) == (2, "blue", 3, True, 1)
    assert type(made.litres) is int


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"litres": 0}, "Kettle.litres is 0; give a number above 0."),
        ({"litres": float("nan")}, "Kettle.litres is nan; give a number above 0."),
        ({"litres": float("inf")}, "Kettle.litres is inf; give a number above 0."),
        ({"litres": True}, "Kettle.litres is True; give a number above 0."),
        ({"litres": "1e-5"}, "Kettle.litres is '1e-5'; give a number above 0, without quotes."),
        ({"on": "false"}, "Kettle.on is 'false'; give true or false, without quotes."),
        ({"on": 1}, "Kettle.on is 1; give true or false."),
        ({"colour": "green"}, "Kettle.colour is 'green'; choose one of red, blue."),
        ({"colour": ["red"]}, "Kettle.colour is ['red']; choose one of red, blue."),
        ({"cups": 0}, "Kettle.cups is 0; give a whole number, 1 or more, or null."),
        ({"cups": 2.0}, "Kettle.cups is 2.0; give a whole number, 1 or more, or null."),
        ({"full": 1.1}, "Kettle.full is 1.1; give a share, from 0 to 1."),
        ({"key": 12345}, "Kettle.key must be a name."),
        ({"on": True}, "Kettle: it is on and empty; fill it."),
        ({"on": True, "litres": -1}, "Kettle.litres is -1; give a number above 0."),
        (
            {"litres": -1, "full": 2},
            "2 faults\n  Kettle.litres is -1; give a number above 0.\n  Kettle.full is 2; give a share, from 0 to 1.",
        ),
        ({"colour": "x" * 99}, f"Kettle.colour is '{'x' * 76}...; choose one of red, blue."),
    ],
)
def test_what_is_wrong_is_said(wrong, said):
    with pytest.raises(SettingsError) as error:
        Kettle(**{"litres": 1} | wrong)
    assert str(error.value) == said


def test_values_of_a_file_may_lack_settings_and_have_others():
    found = settings.faults(Kettle, {"liters": 1, "weight": 3})
    assert [str(fault.under("a.b")) for fault in found] == [
        "a.b.liters is no setting of Kettle; did you mean litres?",
        "a.b.weight is no setting of Kettle; choose among litres, colour, cups, on, full, key",
        "a.b.litres is missing; give a number above 0",
    ]
    assert settings.faults(Kettle, {}, complete=False) == []
    assert settings.faults(Kettle, {"colour": "green"}, {"colour": str}, complete=False) == []


def test_numbers_are_read_as_yaml_1_2_reads_them(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("{a: 1e-5, b: 1e-1, c: 2E+3, d: .5e1, e: -1e3, f: '1e-5', g: 1e, h: x1e5, i: 12, j: 1.0e-4}")
    assert settings.read_yaml(file, "it", "that") == {
        "a": 1e-5, "b": 0.1, "c": 2000.0, "d": 5.0, "e": -1000.0, "f": "1e-5", "g": "1e", "h": "x1e5", "i": 12, "j": 1e-4,
    }  # fmt: skip


def test_octal_and_minutes_of_yaml_1_1_are_none(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(
        "{a: 010, b: '1:30', c: 1:30, d: 1:30.5, e: 0o10, f: 0x1F, g: -007, h: 1_000, i: 0, j: 08, k: .inf, l: 1., m: -0.5,"
        " n: 1_0.5, o: 0b11, p: 190:20:30, q: 09.5, r: +12, s: 010e1, t: -0x10}"
    )
    assert settings.read_yaml(file, "it", "that") == {
        "a": 10, "b": "1:30", "c": "1:30", "d": "1:30.5", "e": 8, "f": 31, "g": -7, "h": 1000, "i": 0, "j": 8, "k": float("inf"),
        "l": 1.0, "m": -0.5, "n": 10.5, "o": 3, "p": "190:20:30", "q": 9.5, "r": 12, "s": 100.0, "t": -16,
    }  # fmt: skip
    file.write_text("a: !!int '1:30'")
    with pytest.raises(ValueError, match="cannot be read as YAML"):
        settings.read_yaml(file, "it", "that")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "a.yaml holds nothing; a recipe is a mapping, see r.yaml"),
        ("- a", "a.yaml holds a list; a recipe is a mapping"),
        ("5", "a.yaml holds a whole number; a recipe"),
        ("a: 1\nb: 2\na: 3", "a.yaml, line 3: a stands twice; take one out"),
        ("a: {b: 1, b: 2}", "line 1: b stands twice"),
        ("a: &x [1]\nb: [*x, *x]", "line 2: an alias .* write out what it stands for"),
        ("<<: {a: 1}", "line 1: the name << is no text"),
        ("no: 1", "line 1: the name no is no text; put it into quotes"),
        ("? [a]\n: 1", "line 1: the name that is a list or a mapping is no text"),
        ("a: [", "line 1: expected the node content"),
        ("a: !!python/object:os.system 1", "line 1: could not determine a constructor"),
        ("a: 1\n---\nb: 1", "line 2: but found another document"),
        ("a: 2026-99-99", "cannot be read as YAML .month must be in 1..12"),
        ("{" + "[" * 5000, "line 1: brackets are nested too deep"),
        ("- " * 3000, "cannot be read as YAML .maximum recursion depth"),
        ("a: 1 #" + "x" * 1_000_000, "has more than 1,000,000 bytes; a recipe is YAML"),
        ("a: " + "9" * 5000, "cannot be read as YAML"),
        ("\0", "cannot be read as YAML"),
        (b"a: \xff", "cannot be read as YAML"),
    ],
)
def test_what_is_no_mapping_in_yaml_is_refused(tmp_path, content, said):
    file = tmp_path / "a.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=said) as error:
        settings.read_yaml(file, "a recipe", "r.yaml")
    assert str(file) in str(error.value)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe is a pipe or a device; give the name of a file"):
        settings.read_yaml(tmp_path / "pipe", "a recipe", "r.yaml")
