"""Real spellings of judges' and models' short answers: one table for each parser. What is ambiguous stays unclear."""

import time

import pytest

from povid_lib.metrics.spellings import parse_yes_no, rating, two_scores

YES_NO = {
    True: (
        "Yes", "yes.", "YES!", "**Yes**", "**Yes**, there is", "__Yes__", "*Yes.*", "`Yes`", "(Yes)", "[Yes]", '"Yes"', "'Yes'", "“Yes.”",
        "‘Yes’", "«Yes»", "Yes,there is", "Yes;there is", "Yes:there", "Yes。", "Yes，there is", "Ｙｅｓ", "Yes - there is", "Yes– there is",
        "Yes—there is", "Yes-there is", "\n\nYes", "\ufeffYes", "\u200bYes", "- Yes", "• Yes", "> Yes", "## Yes", "✅ Yes", "Answer: Yes",
        "**Answer:** Yes", "The answer: yes", "Final answer: **Yes**", "ASSISTANT: Yes", "<b>Yes</b>"[3:], "Yes\nNo dog is seen beside it.",
        "yes, no doubt", "Yes.\tThere", "Yes…", '{"answer": "yes"}', "The answer is **yes**", "The answer is: yes", "(A) Yes", "A: yes",
        "<think>No, or is it? No.</think>Yes", "\\boxed{yes}", r"$\boxed{\text{Yes}}$", "<s> Yes</s>", '```json\n{"answer": "yes"}\n```',
        "**Answer**\n\nYes", "Therefore, the answer is yes.", "<b>Yes</b>", "<reasoning>no</reasoning> Yes", "Final answer: (B) Yes",
    ),
    False: (
        "No", "no.", "NO!", "**No**", "**No.** There is none.", "(No)", "(No, there is none)", "No,there is", "No。", "No、", "“No”", "”No”",
        "‘No,’ I think", "No—there is none", "No – there is none", "No-there is none", "No- there", "'No'", "ＮＯ", "_No_", "No;", "No:",
        "No!!!", "No\nYes would be wrong", "Answer: No", "**Answer**: **No**", "answer：no", "No, not in this picture.", "No picture hangs there",
        "❌ No", "No, yes-men are not objects", "The answer is no.", "Answer is no", "<answer>No</answer>", "Final answer - no", "Verdict: No",
        "Answer (yes/no): no", "Answer [yes or no]: No", "No\nOne person stands there.", "No. Image and text differ.", "B. No", "No one-way sign",
    ),
    None: (
        "", "   ", "...", "Nothing", "None", "Nope", "Yeah", "Yess", "Not that I see", "I cannot see", "Maybe yes", "no-one is there",
        "no-brainer", "Yes or no", "Yes/No", "yes / no", "Yes and no", "No or yes?", "no | yes", "No doubt there is", "No problem!",
        "1. Yes 2. No", "1) No", "[ ] Yes [x] No", "- [x] Yes", "☐ Yes ☒ No", "~~No~~ Yes", "Nó", "N o", "y", "n", "N/A", "yes'm", "Noah",
        "no1", "yesterday", "the answer", "Answer:", "Unclear: yes", "Is there a dog? No", "да",
        "No one is there", "No idea", "No image was provided.", "No comment", "No picture is attached", "No photo", "no way to tell", "No.1",
        "The answer is yes or no", "The answer is not clear", "The answer is no one", "(A) Yes (B) No", "A: yes\nB: no", "<s>No</s> Yes",
        "<think>Yes", "<think>Yes</think>", "Answer: ~~No~~ Yes", "Answer: 1. Yes 2. No", "<del>Yes</del> no", "No answer",
    ),
}  # fmt: skip
SCORES = {
    (8, 7): (
        "8 7", "8 7\nThe first is better.", "8, 7", "8,7", "8; 7", "8;7", "8 | 7", "8  7 ", "8\t7", "**8 7**", "**8** **7**", "8/10 7/10",
        "8/10, 7/10", "8 / 10; 7 / 10", "8 out of 10, 7 out of 10", "\n8 7", "\r\n\r\n8 7", "\n \n**8 7**\n\nBoth...", "Scores: 8 7",
        "**Scores:** 8, 7", "Scores:\n8 7", "### Scores\n\n8 7", "```\n8 7\n```", "(8, 7)", "[8, 7]", "8 and 7", "8 & 7", "８ ７", "8.0 7.0",
        "Assistant 1: 8, Assistant 2: 7", "Assistant 1: 8/10; Assistant 2: 7/10", "8 7.", "> 8 7", "- 8 7", "'8 7'", "The scores are 8 7",
        "1 8\n2 7", "Assistant 1: 8\nAssistant 2: 7", "8\n7", "8\n\n7\nThe first is better.", "1. 8\n2. 7", "<think>2 3 it is</think>\n8 7",
        "- **Assistant 1**: 8/10\n- **Assistant 2**: 7/10", "Scores:\nAssistant 1: 8\nAssistant 2: 7", "8 7\n8 7", "<think>2 3\n</think>8 7",
        "Score for Assistant 1: 8\nScore for Assistant 2: 7", "$8$ $7$",
    ),
    (8, 7.5): ("8 7.5", "8, 7.5", "8.0/10 7.5/10"),
    (0, 9): ("0 9\n\nAssistant 1 did not provide any response.", "0, 9", "0/10 9/10"),
    (10, 0): ("10 0", "**10, 0**"),
    None: (
        "", "\n\n", "8", "8 7 6", "8 11", "100 90", "-1 7", "8 -7", "8-7", "8/7", "nan 7", "inf 7", "8,5 7,5", "8/5 7/5", "8/100 7/100",
        "Eight seven", "The first is better, 8 7", "Assistant 2: 7, Assistant 1: 8", "8 7 10", "1e1 7", "8 vs 7 or 6", "8.7", "7+ 8", "8 to 7",
        "Scores:", "I give both 8 7.\n8 7", "8" * 400 + " 7",
        "7/8", "8\n7\n6", "8 7\n7 8", "Assistant 2: 7\nAssistant 1: 8", "1 8\n2 7\n3 6", "8\n17", "8\nAssistant 2: 7", "<think>8 7", "8\n7 dogs",
    ),
}  # fmt: skip
RATINGS = {
    5: (
        "All true.\nRating: 5", "**Rating:** 5", "**Rating: 5**", "Rating: **5**", "**Rating**: **5**", "rating:5", "RATING: 5", "Rating: 5.",
        "Rating: 5/6", "Rating: 5 / 6", "Rating: 5 out of 6", "Rating: [5]", "Rating: (5)", "Rating: `5`", "Rating：5", "Rating: ５", "Rating = 5",
        "The rating is 5.", "Rating (0-6): 5", "Rating: 5.0", "Rating: 5, very informative", "## Rating: 5", "Rating: 5 ... so Rating: 5",
        "Rating:\n5", "Rating:\n\n**5**", 'Rating: "5"', "Rating: N\nRating: 5",
        "<think>The rating: 2 would be harsh.</think>\nRating: 5", "Rating - 5", "Rating – 5", "Rating: 5/6.0", "Rating: <5>", "Rating: $5$",
        "I give it a rating of 5.", "Rating: 5 — 2 objects are false", r"Rating: $\boxed{5}$", r"Rating: \boxed{5}", "Rating: <b>5</b>", "Rating: 5 / 6.0",
        "A rating of 2 would be harsh. Rating: 5", "On the rating of 0 to 6 it is a rating of 5", "Rating: <5/6>",
    ),
    0: ("rating:0.", "**Rating:** 0"),
    6: ("Rating: 6", "Rating: 6/6."),
    None: (
        "", "five of six", "Rating: five", "Rating: 7", "Rating: 10", "Rating: 4.5", "Rating: 4,5", "Rating: -1", "Rating: 3 or Rating: 4",
        "Rating: 3 or 4", "Rating: 3-4", "Rating: 3 – 4", "Rating: 3 to 4", "Rating: 5/10", "Rating: 5 out of 10", "Rating: 3/4", "5", "Score: 5",
        "Rating: 4.5, so Rating: 4", "berating: 5", "Rating: N", "Rating: 50/6",
        "Rating: >3", "Rating: <3", "Rating: 3 — 4", "Rating: 3 – 4 points", "a rating of 2, or a rating of 3", "Rating of 10", "Rating: 3/6.5",
        "<think>Rating: 5", "Rating -1", "a rating of 0 to 6",
    ),
}  # fmt: skip


def cases(table):
    return [(text, value) for value, texts in table.items() for text in texts]


@pytest.mark.parametrize(("text", "value"), cases(YES_NO))
def test_yes_and_no(text, value):
    assert parse_yes_no(text) is value


@pytest.mark.parametrize(("text", "value"), cases(SCORES))
def test_two_scores(text, value):
    assert two_scores(text) == value


@pytest.mark.parametrize(("text", "value"), cases(RATINGS))
def test_rating(text, value):
    assert rating(text) == value


@pytest.mark.slow
@pytest.mark.parametrize("parser", [parse_yes_no, two_scores, rating])
@pytest.mark.parametrize(
    "part", [" ", "*", "\n", "rating", "rating: ", "rating: 3 ", "8 ", "answer ", "yes/", "( ", "the ", "no or "]
)
def test_time_is_linear_in_the_text(parser, part):
    text, start = part * (1_000_000 // len(part)), time.perf_counter()
    parser(text)
    assert time.perf_counter() - start < 5


def test_blanks_before_an_answer_do_not_hide_it():
    assert parse_yes_no(" \n" * 4000 + "Yes.") is True
    assert parse_yes_no(" \n" * 4000 + "No.") is False
