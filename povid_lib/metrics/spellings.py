"""What a short answer says, whichever way it is written: yes or no, two scores, a rating. What is ambiguous is None.

Marks that change nothing are looked through: markdown, quotation marks, brackets, full-width letters, a label such as "Answer:".
``tests/metrics/test_spellings.py`` has the tables. Every routine looks at a bounded part of a text, or once at each character.
"""

from __future__ import annotations

import re
import unicodedata

from povid_lib.remote.reading import spoken

_MARKS = re.compile(r"^[ \t]*>+|[*_`#$\"'“”‘’«»()\[\]{}]+", re.MULTILINE)  # around a word they say nothing
_TAG = re.compile(r"</?[a-z][\w-]{0,20}>", re.IGNORECASE)
_SET = re.compile(r"<\s?(\d[\d./]{0,8})\s?>|\\(?:boxed|text|textbf|mathrm|mathbf)\s?(?=\{)")  # <3>, TeX
_HEAD = 300  # characters within which an answer must begin, a line of scores end


# --- yes or no ---------------------------------------------------------------------------------------------------

_NO_LETTER = re.compile(r"[\W_]+")
_LABEL = re.compile(
    r"(?:(?:so|thus|therefore|hence|the|my|final|short|correct)[\s,]+)*"
    r"(?:answer|response|assistant|verdict|conclusion|decision|output|result)\b"
    r"(?:\s*[(\[]\s*yes\s*(?:/|or)\s*no\s*[)\]])?(?:[^\w\n]|_)*?(?:\bis\b|[:：=\n]|[-–—])",
    re.IGNORECASE,
)
_OPTION = re.compile(r"[A-D]\s?[.:)](?!.*\b[A-D]\s?[.:)])", re.IGNORECASE | re.DOTALL)  # "(A) Yes", no list of them
_FENCE = re.compile(r"\s*```\w*")
_STRUCK = re.compile(r"\W{0,5}(?:\d|~~|\[[ xX]?\]\s*\w|[☐☑☒]|<(s|del|strike)>[^<]*</\1>\W*\w)", re.IGNORECASE)
_CLAUSE = "there|it|i|the|this|that|we|he|she|they|a|an|in|not|no|yes|you|because|but"
_NO_ANSWER = (
    r"doubt|problem|worries|wonder|idea|clue|comment|one|answer|response|information|context|data|input|thanks|need|matter|"
    r"way[ ](?:to|of)|(?:images?|photos?|photographs?|screenshots?|attachments?)|"
    r"pictures?[ ](?:(?:was|were|is|are|has|have|been)[ ])*(?:provided|attached|given|uploaded|included|received|available)"
)
_YES_NO = re.compile(
    r"(yes|no)(?![^\W_])(?![’']\w)(?!\.\d)"  # a word of its own
    rf"(?![-‐‑](?!(?:{_CLAUSE})\b)\w)"  # "No-there is none", but no "no-one"
    r"(?!\W{0,5}(?:(?:and|or|/|\|)\W{0,5})+(?:yes|no)(?![^\W_]))"  # both are offered: "yes or no", "Yes/No"
    rf"(?![ \t]+(?:{_NO_ANSWER})\b(?!-))",  # "no idea", "no image was provided", "no one", of whom nobody has asked
    re.IGNORECASE,
)
_LAYERS = 5  # of labels around an answer


def parse_yes_no(text: str) -> bool | None:
    """Strict reading: True or False if the answer's first word is yes or no, else None.

    Looked through: what was thought aloud before it, tags and fences, what is no letter before the word, and labels ("Answer:
    **No**", "The answer is no", "(A) Yes", ``\\boxed{yes}``). None for a first word that only begins so ("Nothing", "no-one", "no
    doubt", "no idea"), for both words offered ("Yes or no"), numbered or ticked lists, and words struck out.
    """
    head = unicodedata.normalize("NFKC", spoken(text).lstrip()[: 10 * _HEAD])
    for _ in range(_LAYERS):
        if _STRUCK.match(head):
            return None
        head = _SET.sub(r" \1", _TAG.sub(" ", _FENCE.sub("", head, count=1) if _FENCE.match(head) else head))
        head = _NO_LETTER.sub("", head[:_HEAD], count=1) if _NO_LETTER.match(head) else head[:_HEAD]
        label = _LABEL.match(head) or _OPTION.match(head)
        if label is None:
            break
        head = head[label.end() :]
    found = _YES_NO.match(head)
    return None if found is None else found[1].lower() == "yes"


# --- two scores of 0 to 10, a rating of 0 to 6 -------------------------------------------------------------------

_SCORE = r"(\d{1,2}(?:\.\d{1,4})?)(?:\s*/\s*10|\s+out\s+of\s+10)?(?:\s*(?:points?|pts))?"
_TWO = re.compile(
    rf"(?:assistant\s*1\s*[:=-]?\s*)?{_SCORE}\s*(?:[,;|&]|\band\b|\s)\s*(?:assistant\s*2\s*[:=-]?\s*)?{_SCORE}\s*\.?",
    re.IGNORECASE,
)
_ONE = re.compile(
    rf"(?:(?:(?:scores?\s+(?:of|for)\s+)?(?:assistant|answer|response|model)\s*)?([12])(?:\s+s)?(?:\s+score)?\s*[:=.|-]\s*)?{_SCORE}\s*\.?",
    re.IGNORECASE,
)
_TITLE = re.compile(
    r"(?:(?:the|overall|final)\s+)*(?:scores?|ratings?)(?:\s+are)?\s*:?\s*(?!\w*\s*(?:of|for)\b)", re.IGNORECASE
)
_NUMBER = r"\s*(-?\d[\d.,/]*)(?=([^\n.]{0,20}))"
_RATING = re.compile(rf"\brating\s*(?:0\s*(?:[-–]|to)\s*6\s*)?(?:is|[:=]|[-–—](?=\s)){_NUMBER}", re.IGNORECASE)
_RATING_OF = re.compile(rf"\brating\s+of(?!\s+0\s*(?:[-–]|to)\s*6\b){_NUMBER}", re.IGNORECASE)
_OF_SIX = re.compile(r"(\d)(?:\.0+)?(?:/6(?:\.0+)?)?[.,]?")
_MORE = re.compile(
    r"(?!\s+[-–—]\s+\d+\s+(?!points?\b|stars?\b|out\b|or\b|and\b|to\b)[a-z]{2})"  # "3 — 2 objects are false" is 3
    r"(?:\s*(?:[-–—~]|to\b|or\b|and\b)\s*\d|\s*(?:/|out of)\s*(?!6(?:\.0+)?(?!\.?\d))\d)",
    re.IGNORECASE,
)


def plain(text: str) -> str:
    """Without thoughts, tags, TeX and marks; full-width letters and digits as plain ones."""
    return _MARKS.sub(" ", _SET.sub(r" \1 ", _TAG.sub(" ", unicodedata.normalize("NFKC", spoken(text)))))


def two_scores(text: str) -> tuple[float, float] | None:
    """Two numbers from 0 to 10, alone on the first line that holds anything but a title ("Scores:"): "8 7", "8/10; 7.5/10",
    "**8, 7**", "Assistant 1: 8, Assistant 2: 7"; or one on each of the first two, numbered 1 and 2 or not at all. Else None:
    another number of them, another scale, a range, words between them, "8/7", which may be a share, two lines that differ."""
    lines = list[str]()
    for line in spoken(text)[: 4 * _HEAD].splitlines():
        words = re.sub(r"^[-–—•]\s+", "", plain(line).strip())
        words = words[title.end() :] if (title := _TITLE.match(words)) and not lines else words
        if re.search(r"\w", words):
            lines.append(words.strip() if len(words) <= _HEAD else "too long")
    pairs, ones = ([rule.fullmatch(line) for line in lines[:3]] for rule in (_TWO, _ONE))
    said = [(float(pair[1]), float(pair[2])) for pair in pairs if pair is not None]
    pair: tuple[float, float] | None = None
    if pairs and pairs[0] is not None:
        second = said[1] if len(pairs) > 1 and pairs[1] is not None else said[0]
        if second == said[0]:
            pair = second
        elif len(said) == 2 and (said[0][0], second[0]) == (1, 2):  # "1 8", and below it "2 7"
            pair = said[0][1], second[1]
    elif len(ones) > 1 and ones[0] and ones[1] and not any(ones[2:]):
        numbers = ones[0][1], ones[1][1]
        pair = (float(ones[0][2]), float(ones[1][2])) if numbers in ((None, None), ("1", "2")) else None
    return pair if pair is not None and max(pair) <= 10 else None


def rating(text: str) -> int | None:
    """The whole number from 0 to 6 after "Rating:", or, where nothing stands so, after "rating of"; None if there is none, one that
    is no such number, or several that differ.

    The released evaluator takes "rating: 10" for 1 and "rating: 4.5" for 4; here neither is a rating.
    """
    found, words = set(), plain(text)
    for number, more in _RATING.findall(words) or _RATING_OF.findall(words):
        whole = _OF_SIX.fullmatch(number)
        found.add(int(whole[1]) if whole and int(whole[1]) <= 6 and not _MORE.match(more) else None)
    return found.pop() if len(found) == 1 else None
