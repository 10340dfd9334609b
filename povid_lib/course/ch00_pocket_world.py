"""Exercises of chapter 00: how often whole pairs must be drawn, what a true caption teaches to guess, and a speaker who guesses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from povid_lib.course.exercises import Catalogue, Check, Function
from povid_lib.world.items import Item
from povid_lib.world.objects import KINDS
from povid_lib.world.scenes import Scene

Guess = Callable[[str], float]  # an object that is seen -> the probability that its partner is there and is not


def check_whole(whole: Function) -> None:
    """``whole(c)``: P(both partners are drawn | a pair is touched) that makes P(partner | object) equal to c."""
    for c, want in ((0.5, 1 / 3), (0.9, 9 / 11), (0.0, 0.0), (1.0, 1.0)):
        found = float(whole(c))
        assert not (0 < c < 1 and abs(found - c) < 1e-9), (
            "c itself is too often: an object is also there in pairs of which it alone is drawn, and in those of both"
        )
        assert not (0 < c < 1 and abs(found - 2 * c / (1 + c)) < 1e-9), "this goes from q to c; solve it for q"
        assert abs(found - want) < 1e-9, f"for c = {c} it should be {want:.4f}, not {found:.4f}"


def check_chance(chance: Function) -> None:
    """``chance(q, unseen, lone)``: P(the partner is there | an object is seen and its partner is not)."""
    for q, unseen, lone in ((0.5, 0.6, 0.25), (0.8, 0.7, 0.0)):
        found, want = float(chance(q, unseen, lone)), guess(q, unseen, lone)
        for wrong, why in (
            (
                _odds(q * unseen, (1 - q) / 2 * (1 - lone)),
                "of a pair with one unseen object, half the time it is this one",
            ),
            (
                _odds(q * unseen / 2, (1 - q) * (1 - lone)),
                "of a pair of which one is drawn, half the time it is the other",
            ),
            (
                q * unseen / 2,
                "this is how often both happen; divide by all the ways to see the object and not its partner",
            ),
            (q, "this is how often both are drawn; that the partner is not seen makes it rarer"),
        ):
            assert abs(found - wrong) > 1e-9, why
        if lone:
            assert abs(found - guess(q, unseen, 0.0)) > 1e-9, (
                "an object without its partner can be unseen too; then nobody asks"
            )
        assert abs(found - want) < 1e-9, f"for {q}, {unseen}, {lone} it should be {want:.4f}, not {found:.4f}"


# cow and pig are seen; the tractor is there unseen; fork and cup are unseen themselves
_SCENES = (
    Scene(("test", "typical", 0), (Item("cow", cells=(0,)), Item("tractor", cells=(1,), unseen=True))),
    Scene(("test", "typical", 1), (Item("pig", cells=(0,)), Item("fork", cells=(2,), unseen=True))),
    Scene(("test", "typical", 2), (Item("cow", cells=(3,)), Item("cup", cells=(5,), unseen=True))),
    Scene(("test", "typical", 3), (Item("pig", cells=(0,)), Item("fish", cells=(4,)), Item("boat", cells=(5,)))),
)
_GUESSES = {"cow": 0.8, "tractor": 0.8, "pig": 0.4, "fork": 0.9, "cup": 0.7, "fish": 0.6, "boat": 0.7}


def check_speaker(speaker: Function) -> None:
    """``speaker(scenes, guess, threshold)``: CHAIR_s of one who names each seen object, and its partner if that is likelier."""

    def sure(name: str) -> float:
        return _GUESSES[name]

    thresholds = (0.5, 0.75, 0.3, 0.95)

    def near(count: Callable[[Sequence[Scene], Guess, float], float]) -> bool:
        return all(abs(a - count(_SCENES, sure, t)) < 1e-9 for a, t in zip(found, thresholds, strict=True))

    found = [float(speaker(_SCENES, sure, threshold)) for threshold in thresholds]
    assert not near(_hears_the_unseen), "who speaks sees only scene.seen: what is unseen suggests nothing"
    assert not near(_blames_the_unseen), "a partner that is there unseen is no false object: compare with names"
    assert not near(_objects), "this is a number of objects; a caption counts once, however many are false"
    assert not near(lambda s, g, t: 1 - _speaks(s, g, t)), "this is the share of captions without a false object"
    for threshold, share in zip(thresholds, found, strict=True):
        want = _speaks(_SCENES, sure, threshold)
        assert abs(share - want) < 1e-9, f"at the threshold {threshold} it should be {want:.2f} here, not {share:.2f}"


def whole(c: float) -> float:
    return c / (2 - c)


def guess(q: float, unseen: float, lone: float) -> float:
    return _odds(q * unseen / 2, (1 - q) / 2 * (1 - lone))


def _odds(there: float, absent: float) -> float:
    return there / (there + absent)


def _speaks(scenes: Sequence[Scene], guess: Guess, threshold: float) -> float:
    return sum(_false(scene, guess, threshold) > 0 for scene in scenes) / len(scenes)


def _false(scene: Scene, guess: Guess, threshold: float) -> int:
    return sum(KINDS[name].partner not in scene.names and guess(name) > threshold for name in scene.seen)


def _objects(scenes: Sequence[Scene], guess: Guess, threshold: float) -> float:
    return sum(_false(scene, guess, threshold) for scene in scenes) / len(scenes)


def _hears_the_unseen(scenes: Sequence[Scene], guess: Guess, threshold: float) -> float:
    said = [[KINDS[n].partner not in s.names and guess(n) > threshold for n in s.names] for s in scenes]
    return sum(map(any, said)) / len(scenes)


def _blames_the_unseen(scenes: Sequence[Scene], guess: Guess, threshold: float) -> float:
    said = [[KINDS[n].partner not in s.seen and guess(n) > threshold for n in s.seen] for s in scenes]
    return sum(map(any, said)) / len(scenes)


RIGHT: dict[Check, Function] = {check_whole: whole, check_chance: guess, check_speaker: _speaks}
WRONG: dict[Check, Catalogue] = {
    check_whole: [
        ("c itself is too often", lambda c: c),
        ("solve it for q", lambda c: 2 * c / (1 + c)),
        ("it should be 0.3333", lambda c: c / 2),
        ("it should be 0.3333", lambda c: c**2),
        ("it should be 0.3333", lambda c: c / (1 + c) * 2 / 3),
    ],
    check_chance: [
        ("it is this one", lambda q, u, lone: _odds(q * u, (1 - q) / 2 * (1 - lone))),
        ("it is the other", lambda q, u, lone: _odds(q * u / 2, (1 - q) * (1 - lone))),
        ("divide by all the ways", lambda q, u, lone: q * u / 2),
        ("makes it rarer", lambda q, u, lone: q),
        ("can be unseen too", lambda q, u, lone: guess(q, u, 0.0)),
        ("it should be 0.4444", lambda q, u, lone: 1 - guess(q, u, lone)),
    ],
    check_speaker: [
        ("suggests nothing", _hears_the_unseen),
        ("compare with names", _blames_the_unseen),
        ("a caption counts once", _objects),
        ("without a false object", lambda s, g, t: 1 - _speaks(s, g, t)),
        ("it should be", lambda s, g, t: _speaks(s, g, 1 - t)),
        ("it should be", lambda s, g, t: _speaks(s, g, t) * len(s)),
    ],
}
