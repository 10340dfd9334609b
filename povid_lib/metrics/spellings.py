"""What a short answer says, whichever way it is written: yes or no, two scores, a rating. What is ambiguous is None.

Marks that change nothing are looked through: markdown, quotation marks, brackets, full-width letters, a label such as "Answer:".
``tests/metrics/test_spellings.py`` has the tables. Every routine looks at a bounded part of a text, or once at each character.
"""

from __future__ import annotations

import re
import unicodedata

_MARKS = re.compile(r"[*_`#>\"'“”‘’«»()\[\]{}]+")  # around a word they say nothing
_HEAD = 300  # characters within which an answer must begin, a line of scores end

# --- yes or no ---------------------------------------------------------------------------------------------------

_NO_LETTER = re.compile(r"[\W_]+")
_LABEL = re.compile(r"(?:(?:the|my|final|short)\s+)*(?:answer|response|assistant)[\W_]*?[:：=][\W_]*", re.IGNORECASE)
_CLAUSE = "there|it|i|the|this|that|we|he|she|they|a|an|in|not|no|yes|you|because|but"
_YES_NO = re.compile(
    r"(yes|no)(?![^\W_])(?![’']\w)"  # a word of its own
    rf"(?![-‐‑](?!(?:{_CLAUSE})\b)\w)"  # "No-there is none", but no "no-one"
    r"(?!\W{0,5}(?:(?:and|or|/|\|)\W{0,5})+(?:yes|no)(?![^\W_]))"  # both are offered: "yes or no", "Yes/No"
    r"(?!\s+(?:doubt|problem|worries|wonder)\b)",
    re.IGNORECASE,
)


def parse_yes_no(text: str) -> bool | None:
    """Strict reading: True or False if the answer's first word is yes or no, else None.

    Looked through: what is no letter before the word, and a label ("Answer: **No**"). None for a first word that only begins so
    ("Nothing", "no-one", "no doubt"), for both words offered ("Yes or no"), numbered or ticked lists, and words struck out.
    """
    head = unicodedata.normalize("NFKC", text.lstrip()[: 10 * _HEAD])
    if re.match(r"\W{0,5}(?:\d|~~|\[[ xX]?\]\s*\w|[☐☑☒])", head):
        return None
    head = _NO_LETTER.sub("", head[:_HEAD], count=1) if _NO_LETTER.match(head) else head
    if label := _LABEL.match(head[:_HEAD]):
        head = head[label.end() :]
    found = _YES_NO.match(head)
    return None if found is None else found[1].lower() == "yes"


# --- two scores of 0 to 10, a rating of 0 to 6 -------------------------------------------------------------------

_SCORE = r"(\d{1,2}(?:\.\d{1,4})?)(?:\s*/\s*10|\s+out\s+of\s+10)?(?:\s*(?:points?|pts))?"
_TWO = re.compile(
    rf"(?:assistant\s*1\s*[:=-]?\s*)?{_SCORE}\s*(?:[,;|&]|\band\b|\s)\s*(?:assistant\s*2\s*[:=-]?\s*)?{_SCORE}\s*\.?",
    re.IGNORECASE,
)
_TITLE = re.compile(r"(?:(?:the|overall|final)\s+)*(?:scores?|ratings?)(?:\s+are)?\s*:?\s*", re.IGNORECASE)
_RATING = re.compile(
    r"\brating\s*(?:0\s*(?:[-–]|to)\s*6\s*)?(?:is|[:=])\s*(-?\d[\d.,/]*)(?=([^\n.]{0,20}))", re.IGNORECASE
)
_OF_SIX = re.compile(r"(\d)(?:\.0+)?(?:/6)?[.,]?")
_MORE = re.compile(r"\s*(?:[-–—~]|to\b|or\b|and\b)\s*\d|\s*(?:/|out of)\s*(?!6\b)\d", re.IGNORECASE)


def plain(text: str) -> str:
    """Without marks; full-width letters and digits as plain ones."""
    return _MARKS.sub(" ", unicodedata.normalize("NFKC", text))


def two_scores(text: str) -> tuple[float, float] | None:
    """Two numbers from 0 to 10, alone on the first line that holds anything but a title ("Scores:"): "8 7", "8/10; 7.5/10",
    "**8, 7**", "Assistant 1: 8, Assistant 2: 7". Else None: another number of them, another scale, a range, words between them."""
    for line in text[: 4 * _HEAD].splitlines():
        words = re.sub(r"^[-–—•]\s+", "", plain(line).strip())
        words = words[title.end() :] if (title := _TITLE.match(words)) else words
        if not re.search(r"\w", words):
            continue
        found = _TWO.fullmatch(words.strip()) if len(words) <= _HEAD else None
        pair = None if found is None else (float(found[1]), float(found[2]))
        return pair if pair is not None and max(pair) <= 10 else None
    return None


def rating(text: str) -> int | None:
    """The whole number from 0 to 6 after "Rating:"; None if there is none, one that is no such number, or several that differ.

    The released evaluator takes "rating: 10" for 1 and "rating: 4.5" for 4; here neither is a rating.
    """
    found = set()
    for number, more in _RATING.findall(plain(text)):
        whole = _OF_SIX.fullmatch(number)
        found.add(int(whole[1]) if whole and int(whole[1]) <= 6 and not _MORE.match(more) else None)
    return found.pop() if len(found) == 1 else None
