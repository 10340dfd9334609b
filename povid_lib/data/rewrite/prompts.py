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

PROMPT_VERSION = "rewrite-1"  # a new one for every change of the texts below; pairs carry it
CAPTION_KINDS, REASONING_KINDS = ("object", "relation", "attribute"), ("step", "result")
LENGTHS = (2 / 3, 3 / 2)  # least and most words of the rewritten answer, as a share of the truth's
REASONING = re.compile(r"\s*Reason:\s*(?P<reason>\S.*?)\s*Result:\s*(?P<result>\S.*?)\s*", re.DOTALL)
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
    fitting = REASONING_KINDS if REASONING.fullmatch(answer) else CAPTION_KINDS
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
    """The rewritten answer and its changes, from the body of a chat completion as the server sent it.

    Raises ``ValueError`` whose text says why there is none: no chat completion, refusal, cut off, empty, no JSON, wrong shape.
    """
    content = _content(body)
    try:
        reply = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON: {error}") from error
    if not isinstance(reply, dict) or set(reply) != {"answer", "changes"}:
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


def _content(body: str) -> str:
    """The text that the model wrote."""
    try:
        choice = json.loads(body)["choices"][0]
        message, finish = choice["message"], choice.get("finish_reason")
        content, refusal = message.get("content"), message.get("refusal")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            "no chat completion: the server's answer has no choices with a message; check base_url"
        ) from error
    if refusal:
        raise ValueError(f"refusal: {refusal}")
    if finish == "content_filter":
        raise ValueError("refusal: stopped by the server's content filter")
    if finish == "length":
        raise ValueError("cut off: the answer did not end within max_tokens; raise it")
    if content is not None and not isinstance(content, str):
        raise ValueError("no chat completion: the message's content is no text")
    if not content or not content.strip():
        raise ValueError("empty answer")
    return content


# --- verification ------------------------------------------------------------------------------------------------


def verify(truth: Truth, answer: str, changes: Sequence[Change]) -> list[str]:
    """What is wrong with a rewritten answer; [] if nothing is. Words are compared without regard to case, a and an as one.

    Every change must be there: its words in the truth, and in their place its other words. Nothing else may differ. A change must
    replace, so that neither side is empty and the false words do not merely add to the true ones. The kinds must fit the answer's
    form; of ``Reason: ... Result: ...`` the form must stay and the result must differ. The length lies between two thirds and
    three halves of the truth's words. Whether the changes are false of the picture is not, and cannot be, told from the words.
    """
    old, new = _tokens(truth.answer), _tokens(answer)
    before, after = _reasoned(truth.answer), _reasoned(answer)
    kinds = REASONING_KINDS if before else CAPTION_KINDS
    faults = []
    if len(old) == len(new) and all(map(_alike, old, new)):
        return ["the rewritten answer is the truth"]
    if not changes:
        faults.append("no change is listed")
    ratio = len(re.findall(r"\w+", answer)) / max(1, len(re.findall(r"\w+", truth.answer)))
    if not LENGTHS[0] <= ratio <= LENGTHS[1]:
        faults.append(
            f"it has {ratio:.2f} times the words of the truth; {LENGTHS[0]:.2f} to {LENGTHS[1]:.2f} are allowed"
        )
    if before and not after:
        faults.append("the form `Reason: ... Result: ...` is lost")
    if before and after and _tokens(before["result"]) == _tokens(after["result"]):
        faults.append(f"the result is still {before['result']!r}")
    for change in changes:
        faults += _change_faults(change, kinds, old, new)
    return faults or _differences_faults(changes, old, new)


def _change_faults(change: Change, kinds: Sequence[str], old: list[str], new: list[str]) -> list[str]:
    """Of one change by itself."""
    source, target = _tokens(change.chosen), _tokens(change.rejected)
    faults = []
    if change.kind not in kinds:
        faults.append(f"kind {change.kind} does not fit the form of the answer ({', '.join(kinds)})")
    if not source or not target:
        faults.append(f"{change.chosen!r} -> {change.rejected!r}: one side has no words, so nothing is replaced")
    elif source == target:
        faults.append(f"{change.chosen!r} -> {change.rejected!r}: the same words on both sides")
    elif _holds(target, source):
        faults.append(f"{change.chosen!r} -> {change.rejected!r}: adds to the true words and does not replace them")
    if not _holds(old, source):
        faults.append(f"{change.chosen!r} is not in the truth")
    if not _holds(new, target):
        faults.append(f"{change.rejected!r} is not in the rewritten answer")
    return faults


def _differences_faults(changes: Sequence[Change], old: list[str], new: list[str]) -> list[str]:
    """Whether the listed changes, each at one place or more, turn the truth into the answer.

    reached[i][j]: the first i tokens of the truth can become the first j of the answer, by these changes.
    """
    swaps = [(_tokens(change.chosen), _tokens(change.rejected)) for change in changes]
    reached: list[dict[int, frozenset[int]]] = [{} for _ in range(len(old) + 1)]
    reached[0][0] = frozenset()
    furthest = (0, 0)
    for i, row in enumerate(reached):
        for j, made in row.items():
            furthest = max(furthest, (i, j))
            steps = [(1, 1, made)] if i < len(old) and j < len(new) and _alike(old[i], new[j]) else []
            for at, (source, target) in enumerate(swaps):
                if old[i : i + len(source)] == source and new[j : j + len(target)] == target:
                    steps.append((len(source), len(target), made | {at}))
            for forward, across, now in steps:
                place = reached[i + forward]
                if j + across not in place or len(now) > len(place[j + across]):
                    place[j + across] = now
    if len(new) not in reached[-1]:
        i, j = furthest
        there, here = " ".join(old[i : i + 6]), " ".join(new[j : j + 6])
        return [f"it differs from the truth outside the listed changes: {there!r} became {here!r}"]
    unmade = set(range(len(changes))) - reached[-1][len(new)]
    return [f"{changes[at].chosen!r} -> {changes[at].rejected!r} was listed but not made" for at in sorted(unmade)]


def _tokens(text: str) -> list[str]:
    return re.findall(r"\w+(?:['’]\w+)*|[^\w\s]", text.casefold())


def _alike(a: str, b: str) -> bool:
    return a == b or {a, b} == {"a", "an"}  # the article goes with the word after it


def _holds(tokens: list[str], part: list[str]) -> bool:
    return any(tokens[at : at + len(part)] == part for at in range(len(tokens) - len(part) + 1))


def _reasoned(answer: str) -> re.Match[str] | None:
    return REASONING.fullmatch(answer)
