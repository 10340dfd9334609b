"""The student's side of grading: reads the submission, then answers the judge's calls one by one, in plain data.

It runs confined (``confine``). Nothing here is secret: checks and reference are the judge's, and never come this way.
"""

from __future__ import annotations

import base64
import os
from typing import Any, BinaryIO

from povid_lib.course.grading import submission, wire


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer requests, a line each, until there are no more.

    The first has the imports that the set gives its students. It is answered with nothing once they are made, or with what they
    raise: what has been slow until then is the machine, not the student. The second gives the submission.
    """
    start = wire.loads(requests.readline())
    try:
        exec(start["imports"], {})
    except Exception as fault:
        _send(replies, {"id": start["id"], "raised": wire.told(fault)})
        return
    _send(replies, {"id": start["id"]})
    first = wire.loads(requests.readline())
    found, notes = submission.functions(base64.b64decode(first["data"]), first["is_notebook"], first["wanted"])
    kinds = {name: None if callable(value) else wire.encode(value) for name, value in found.items()}
    _send(replies, {"id": first["id"], "found": [[name, kind] for name, kind in kinds.items()], "notes": notes})
    for line in requests:
        request = wire.loads(line)
        _send(replies, {"id": request["id"], **_answer(found[request["call"]], request["args"])})


def _answer(function: Any, args: list[Any]) -> dict[str, Any]:
    try:
        return {"value": wire.encode(function(*map(wire.decode, args)))}
    except BaseException as fault:  # SystemExit and its like are answers too
        return {"raised": wire.told(fault), "line": submission.line_of(fault)}


def _send(replies: BinaryIO, message: dict[str, Any]) -> None:
    try:
        data = wire.dumps(message)
    except Exception as fault:
        data = wire.dumps({"id": message["id"], "raised": wire.told(fault), "line": ""})
    replies.write(data)
    replies.flush()


def main() -> None:
    """Serve on what were standard input and output; they themselves then lead nowhere, so that prints disturb nothing."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    serve(requests, replies)
