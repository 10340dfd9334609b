"""What the rewriter's model is told, the form it must answer in, and whether an answer keeps to both.

POVID, section 3.1: a model that sees the picture and the true answer rewrites it with plausible hallucinations, close to it in
wording and length. The wording of the prompts is ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from povid_lib.data.pairs import CORRUPTIONS, Change
from povid_lib.data.true_answers import Truth
from povid_lib.remote.reading import content_of, json_in

PROMPT_VERSION = "rewrite-1"  # a new one for every change of the texts below; pairs carry it
CAPTION_KINDS, REASONING_KINDS = ("object", "relation", "attribute"), ("step", "result")
LENGTHS = (2 / 3, 3 / 2)  # least and most words of the rewritten answer, as a share of the truth's
_REPLY = {"answer", "changes"}  # the fields of an answer
_MOST_STEPS = 1_000_000  # comparisons of one verification
_SYSTEM = """\
You write the false answer of a preference pair. You see a picture, a question about it, and an answer that is true of it. \
Rewrite the answer so that it tells plausible things that the picture does not show. A reader without the picture must not be \
able to say which of the two answers is the true one.

Rules:
1. Replace, never append. Every change takes words out of the true answer and puts false words in their place. Add no sentence \
and no clause, and take none away.
2. Keep everything else word for word: the order, the sentences, the form, the tone. Keep the length to within a few words.
3. Every change must be false of this picture. A synonym is no change, and neither is something that may be true as well.
4. Make only changes of these kinds, and one of each kind at least where the answer has room for it:
{kinds}
5. List every change, in the order of the answer. `from` is copied exactly from the true answer, `to` exactly from yours, and \
neither is empty. Both hold all the words that differ, with the articles and verbs that change for the sake of grammar. If you \
change each mention of one thing alike, list it once."""
_KINDS = {
    "object": "something that is in the picture becomes something that is not, but is often found together with the rest",
    "relation": "where things are, or what they do to one another, becomes another place or another action",
    "attribute": "a colour, number, size, shape, material or state becomes another",
    "step": "a step of the reasoning becomes false of the picture, and reads as soundly as before",
    "result": "the result becomes another one that follows from the false reasoning, in the same form; it must change",
}
_REASONED = """
6. The answer has the form `Reason: ... Result: ...`. Keep both words and their order."""


def kinds_for(answer: str, kinds: Sequence[str]) -> tuple[str, ...]:
    """Those of the kinds that fit the answer: ``step`` and ``result`` for ``Reason: ... Result: ...``, the others for captions."""
    fitting = REASONING_KINDS if reasoned(answer) else CAPTION_KINDS
    return tuple(kind for kind in kinds if kind in fitting)


def messages(truth: Truth, kinds: Sequence[str], image_url: str, detail: str) -> list[dict[str, Any]]:
    """The messages of one chat completion. ``kinds``: of ``kinds_for``; ``image_url``: a data URL; ``detail``: low or high.

    Raises ``ValueError`` if there are no kinds, or unknown ones.
    """
    _check_kinds("messages", kinds)
    system = _SYSTEM.format(kinds="\n".join(f"- {kind}: {_KINDS[kind]}" for kind in kinds))
    text = f"Question:\n{truth.prompt}\n\nTrue answer:\n{truth.answer}"
    picture = {"type": "image_url", "image_url": {"url": image_url, "detail": detail}}
    return [
        {"role": "system", "content": system + (_REASONED if kinds[0] in REASONING_KINDS else "")},
        {"role": "user", "content": [picture, {"type": "text", "text": text}]},
    ]


def response_format(kinds: Sequence[str]) -> dict[str, Any]:
    """The JSON schema of the answer, within what OpenAI's strict structured outputs allow: every field required, none besides.

    Raises ``ValueError`` if there are no kinds, or unknown ones.
    """
    _check_kinds("response_format", kinds)
    change = {"kind": {"type": "string", "enum": list(kinds)}, "from": {"type": "string"}, "to": {"type": "string"}}
    fields = {"answer": {"type": "string"}, "changes": {"type": "array", "items": _object(change)}}
    return {"type": "json_schema", "json_schema": {"name": "rewritten", "strict": True, "schema": _object(fields)}}


def _check_kinds(caller: str, kinds: Sequence[str]) -> None:
    if not kinds or set(kinds) - set(CORRUPTIONS):
        raise ValueError(f"{caller}: kinds is {kinds!r}; give one or more of {', '.join(CORRUPTIONS)}.")


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def read_reply(body: str, kinds: Sequence[str]) -> tuple[str, tuple[Change, ...]]:
    """The rewritten answer and its changes, from the body of a chat completion as the server sent it; the JSON may stand in a fence
    or among other words.

    Raises ``ValueError`` whose text says why there is none: no chat completion, refusal, cut off, empty, no JSON, wrong shape.
    """
    content = content_of(body)
    try:
        reply = json_in(content, _REPLY)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON: {error}") from error
    if not isinstance(reply, dict) or set(reply) != _REPLY:
        raise ValueError("wrong shape: an object with answer and changes was asked for")
    answer, changes = reply["answer"], reply["changes"]
    if not isinstance(answer, str) or not isinstance(changes, list):
        raise ValueError("wrong shape: answer must be a text and changes a list")
    found = []
    for at, change in enumerate(changes, start=1):
        if not isinstance(change, dict) or set(change) != {"kind", "from", "to"}:
            raise ValueError(f"wrong shape: change {at} is no object with kind, from and to")
        if not all(isinstance(value, str) for value in change.values()):
            raise ValueError(f"wrong shape: kind, from and to of change {at} must be texts")
        if change["kind"] not in kinds:
            raise ValueError(
                f"wrong shape: kind {change['kind']!r} of change {at} was not asked for ({', '.join(kinds)})"
            )
        source, target = change["from"].strip(), change["to"].strip()
        if source == target:
            raise ValueError(f"wrong shape: change {at} has {source!r} on both sides")
        found.append((change["kind"], source, target))
    try:
        json.dumps(reply, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("wrong shape: the answer holds half a character (a lone surrogate)") from error
    return answer.strip(), tuple(Change(*change) for change in found)


# --- verification ------------------------------------------------------------------------------------------------


def verify(truth: Truth, answer: str, changes: Sequence[Change]) -> list[str]:
    """What is wrong with a rewritten answer; [] if nothing is. Words are compared without regard to case, a and an as one.

    Every change must be there: its words in the truth, and in their place its other words. Nothing else may differ. A change must
    replace, so that neither side is empty and the false words do not merely add to the true ones. The kinds must fit the answer's
    form; of ``Reason: ... Result: ...`` the form must stay and the result must differ. The length lies between two thirds and
    three halves of the truth's words. Whether the changes are false of the picture is not, and cannot be, told from the words.
    The time that it takes grows as the truth's length does, whatever the answer is.
    """
    if len(answer) > 10 * len(truth.answer) + 1000:
        return [f"it has {len(answer):,} characters, more than ten times those of the truth"]
    old, new = _tokens(truth.answer), _tokens(answer)
    if len(old) == len(new) and all(map(_alike, old, new)):
        return ["the rewritten answer is the truth"]
    if len(changes) > len(old):
        return [f"{len(changes)} changes are listed, and the truth has {len(old)} words"]
    before, after = reasoned(truth.answer), reasoned(answer)
    kinds = REASONING_KINDS if before else CAPTION_KINDS
    faults = []
    if not changes:
        faults.append("no change is listed")
    ratio = len(re.findall(r"\w+", answer)) / max(1, len(re.findall(r"\w+", truth.answer)))
    if not LENGTHS[0] <= ratio <= LENGTHS[1]:
        faults.append(
            f"it has {ratio:.2f} times the words of the truth; {LENGTHS[0]:.2f} to {LENGTHS[1]:.2f} are allowed"
        )
    if before and not after:
        faults.append("the form `Reason: ... Result: ...` is lost")
    if before and after and _tokens(before[1]) == _tokens(after[1]):
        faults.append(f"the result is still {before[1]!r}")
    for change in changes:
        faults += _change_faults(change, kinds, _line(old), _line(new))
    return faults or _differences_faults(changes, old, new)


def _change_faults(change: Change, kinds: Sequence[str], old: str, new: str) -> list[str]:
    """Of one change by itself. ``old``, ``new``: lines of the truth's tokens and the answer's."""
    source, target = _line(_tokens(change.chosen)), _line(_tokens(change.rejected))
    faults = []
    if change.kind not in kinds:
        faults.append(f"kind {change.kind} does not fit the form of the answer ({', '.join(kinds)})")
    if not source.strip() or not target.strip():
        faults.append(f"{change.chosen!r} -> {change.rejected!r}: one side has no words, so nothing is replaced")
    elif source == target:
        faults.append(f"{change.chosen!r} -> {change.rejected!r}: the same words on both sides")
    elif source in target:
        faults.append(f"{change.chosen!r} -> {change.rejected!r}: adds to the true words and does not replace them")
    if source.strip() and source not in old:
        faults.append(f"{change.chosen!r} is not in the truth")
    if target.strip() and target not in new:
        faults.append(f"{change.rejected!r} is not in the rewritten answer")
    return faults


def _differences_faults(changes: Sequence[Change], old: list[str], new: list[str]) -> list[str]:
    """Whether the listed changes, each at one place or more, turn the truth into the answer.

    reached[i][j]: the first i tokens of the truth can become the first j of the answer, by these changes (a bit for each).
    """
    swaps: dict[str, list[tuple[int, list[str], list[str]]]] = {}  # by the first token of the true words
    for at, change in enumerate(changes):
        source = _tokens(change.chosen)
        swaps.setdefault(source[0], []).append((1 << at, source, _tokens(change.rejected)))
    reached: list[dict[int, int]] = [{} for _ in range(len(old) + 1)]
    reached[0][0] = 0
    furthest, looked = (0, 0), 0
    for i, row in enumerate(reached):
        for j, made in row.items():
            furthest = max(furthest, (i, j))
            steps = [(1, 1, made)] if i < len(old) and j < len(new) and _alike(old[i], new[j]) else []
            for bit, source, target in swaps.get(old[i], ()) if i < len(old) else ():
                looked += 1 + len(source) + len(target)
                if old[i : i + len(source)] == source and new[j : j + len(target)] == target:
                    steps.append((len(source), len(target), made | bit))
            for forward, across, now in steps:
                place = reached[i + forward]
                if j + across not in place or now.bit_count() > place[j + across].bit_count():
                    place[j + across] = now
        looked += len(row)
        if looked > _MOST_STEPS:
            return ["it can be read as the listed changes in too many ways"]
    if len(new) not in reached[-1]:
        i, j = furthest
        there, here = " ".join(old[i : i + 6]), " ".join(new[j : j + 6])
        return [f"it differs from the truth outside the listed changes: {there!r} became {here!r}"]
    made = reached[-1][len(new)]
    unmade = [change for at, change in enumerate(changes) if not made >> at & 1]
    return [f"{change.chosen!r} -> {change.rejected!r} was listed but not made" for change in unmade]


def _tokens(text: str) -> list[str]:
    return re.findall(r"\w+(?:['’]\w+)*|[^\w\s]", text.casefold())


def _line(tokens: list[str]) -> str:
    """Tokens so that those of a part stand in those of the whole as one text in another."""
    return f" {' '.join(tokens)} "


def _alike(a: str, b: str) -> bool:
    return a == b or {a, b} == {"a", "an"}  # the article goes with the word after it


def reasoned(answer: str) -> tuple[str, str] | None:
    """Reason and result of ``Reason: ... Result: ...``, both of some words; None if the answer has another form."""
    text = answer.strip()
    if not text.startswith("Reason:"):
        return None
    text = text.removeprefix("Reason:").lstrip()
    at = text.find("Result:", 1)
    result = text[at + len("Result:") :].strip()
    return (text[:at].rstrip(), result) if at > 0 and result else None
