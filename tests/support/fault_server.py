"""A server on 127.0.0.1 that speaks chat completions, rewrites captions by a table of words, answers a judge's prompt with "re: "
and the prompt, and fails as servers do.

It counts what a provider would charge for: every answer that it began to send, whether or not that arrived.
"""

from __future__ import annotations

import base64
import functools
import gzip
import json
import random
import re
import threading
import time
from collections import Counter
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# what goes wrong on the way: the client should try again
PASSING = (
    "429", "429 and when to retry", "500", "time-out", "cut", "slow drip", "drip past the time-out", "drip of headers",
)  # fmt: skip
# what is answered and charged, and no use
BAD = ("no JSON", "wrong shape", "refusal", "empty", "cut off", "filter")
BAD_REWRITE = ("unclaimed", "appended", "unchanged", "unmade")
NO_ANSWER = (
    "wrong content type",
    "no completion",
    "choices null",
    "error in a choice",
)  # status 200, no completion, and not charged
UNREAD = ("bomb", "flood", "half a stream")  # charged, and not to be read to the end
GOOD = ("fenced", "prefixed", "thought aloud", "in parts", "streamed", "over-counting")  # of use all the same
FAULTS = PASSING + BAD + BAD_REWRITE + NO_ANSWER + UNREAD + GOOD
SWAPS = {"dog": ("object", "cat"), "beside": ("relation", "behind"), "red": ("attribute", "blue")}
USAGE = {"prompt_tokens": 1000, "completion_tokens": 80}
MORE = {"prompt_tokens": 12_000, "completion_tokens": 80}  # than anybody would reserve for these rows


class FaultServer(ThreadingHTTPServer):
    """``faults``: the names of faults to answer first, one a request ("" for none); after them ``rate`` of requests draw one of
    ``drawn``. ``log``: the true answer of every request, in the order of arrival; ``charged``: of every answer begun.
    ``usage``: None to report none."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        faults: tuple[str, ...] = (),
        rate: float = 0.0,
        drawn: tuple[str, ...] = FAULTS,
        seed: int = 0,
        too_late: float = 2.0,
        usage: dict[str, Any] | None = USAGE,
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.faults, self.rate, self.drawn, self.too_late, self.usage = list(faults), rate, drawn, too_late, usage
        if "bomb" in (*faults, *drawn):
            bomb()  # made once, before anybody waits for it
        self.random, self.lock = random.Random(seed), threading.Lock()
        self.log: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[Message] = []
        self.charged: Counter[str] = Counter()
        self.met: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self.now = self.most = 0
        self.delay = 0.0  # seconds for every answer
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def charge(self, input_price: float, output_price: float) -> float:
        """Dollars for all answers so far; prices for a million tokens."""
        return (self.tokens["prompt_tokens"] * input_price + self.tokens["completion_tokens"] * output_price) / 1e6

    def draw(self) -> str:
        if self.faults:
            return self.faults.pop(0)
        return self.random.choice(self.drawn) if self.random.random() < self.rate else ""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients of these tests are killed: a broken pipe is no news."""

    def __enter__(self) -> FaultServer:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultServer

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

    def do_POST(self) -> None:
        server, body = self.server, json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = body["messages"][-1]["content"]
        truth = asked if isinstance(asked, str) else asked[1]["text"].split("True answer:\n")[1]
        with server.lock:
            fault = server.draw()
            server.log.append(truth)
            server.bodies.append(body)
            server.headers.append(self.headers)
            server.met[fault] += 1
            server.now += 1
            server.most = max(server.most, server.now)
        try:
            time.sleep(server.delay)
            self._answer(fault, truth)
        finally:
            with server.lock:
                server.now -= 1

    def _answer(self, fault: str, truth: str) -> None:
        if fault.startswith("429") or fault.isdigit():
            headers = {"Retry-After": "0.05"} if fault == "429 and when to retry" else {}
            key = self.headers["Authorization"]  # a careless server says it back
            error = {"message": f"no, not for {key}", "code": "insufficient_quota" if fault == "429000" else None}
            return self._send(int(fault[:3]), json.dumps({"error": error}).encode(), headers)
        if fault.startswith("307"):  # "307 http://elsewhere"
            return self._send(307, b"", {"Location": fault.split()[1]})
        if fault not in NO_ANSWER:
            with self.server.lock:
                self.server.charged[truth] += 1
                self.server.tokens.update(MORE if fault == "over-counting" else USAGE)
        if fault == "time-out":
            time.sleep(self.server.too_late)
        data, kind = completion(fault, truth, self.server.usage), "application/json"
        if fault == "wrong content type":
            data, kind = b"<html>please log in</html>", "text/html"
        if fault == "echo":
            data = data.replace(b"chatcmpl", self.headers["Authorization"].split()[1].encode())
        if fault == "echo in codes":
            key = self.headers["Authorization"].split()[1]
            codes = "".join(f"\\u{ord(c):04x}" for c in key), "".join(f"%{ord(c):02X}" for c in key)
            data = data.replace(b"chatcmpl", " ".join((*codes, base64.b64encode(key.encode()).decode())).encode())
        if fault == "bomb":
            return self._send(200, bomb(), {"Content-Type": kind, "Content-Encoding": "gzip"})
        return self._send(200, data, {"Content-Type": kind}, fault)

    def _send(self, status: int, data: bytes, headers: dict[str, str], fault: str = "") -> None:
        if fault in ("drip of headers", "flood"):
            self._without_end(fault)
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if fault == "cut":
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        elif fault in ("slow drip", "drip past the time-out"):
            pause = 0.3 if fault == "slow drip" else self.server.too_late
            for at in range(0, len(data), 60):
                self.wfile.write(data[at : at + 60])
                self.wfile.flush()
                time.sleep(60 * pause / len(data))
        else:
            self.wfile.write(data)

    def _without_end(self, fault: str) -> None:
        """Headers that take longer than the time-out, each of them in time; or a body of more than anybody can use."""
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"\r\n" if fault == "flood" else b""))
        for _ in range(200 if fault == "flood" else 10 * round(self.server.too_late)):
            self.wfile.write(b" " * 2**16 if fault == "flood" else b"X-Wait: 1\r\n")
            self.wfile.flush()
            time.sleep(0 if fault == "flood" else 0.1)


@functools.cache
def bomb() -> bytes:
    """A small body that unpacks to 100 MB."""
    return gzip.compress(b" " * 10**8)


def completion(fault: str, truth: str, usage: dict[str, Any] | None = USAGE) -> bytes:
    """The body of a chat completion about a true answer."""
    content: str | None = json.dumps(rewritten(fault, truth))
    if truth.startswith("judge: "):
        content = f"re: {truth}"
    message: dict[str, Any] = {"role": "assistant", "refusal": None}
    if fault == "no JSON":
        content = "Sure! Here it is: " + str(content)[:-1]
    elif fault == "prefixed":
        content = f"Sure! {{Here}} it is: {content} I hope that this helps."
    elif fault == "fenced":
        content = f"```json\n{content}\n```"
    elif fault == "wrong shape":
        content = json.dumps({"answer": "A cat.", "edits": []})
    elif fault == "empty":
        content = ""
    elif fault == "cut off":
        content = str(content)[:20]
    elif fault == "refusal":
        content, message["refusal"] = None, "I cannot help with that."
    elif fault == "thought aloud":
        content = f"<think>{{1}} {{2}} {{3}} {{4}} {{5}} {{6}}: a dog, or a cat?</think>\n{content}"
    elif fault == "in parts":
        message["parts"] = [{"type": "text", "text": str(content)[:9]}, {"type": "text", "text": str(content)[9:]}]
    if fault == "no completion":
        return b'{"detail": "queued"}'
    if fault == "choices null":
        error = {"message": "Rate limit exceeded", "code": 429}
        return json.dumps({"id": None, "choices": None, "error": error, "usage": None}).encode()
    if fault == "over-counting":
        usage = MORE
    finish = {"cut off": "length", "filter": "content_filter"}.get(fault, "stop")
    choice = {"index": 0, "finish_reason": finish, "message": message | {"content": message.pop("parts", content)}}
    if fault == "error in a choice":  # as OpenRouter tells of a provider that broke off
        choice |= {"finish_reason": "error", "message": {"role": "assistant", "content": ""}, "error": {"code": 502}}
        usage = None
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": "m-2026", "choices": [choice]}
    if fault in ("streamed", "half a stream"):
        return streamed(body, str(content), usage, fault == "streamed")
    return json.dumps(body | ({"usage": usage} if usage else {})).encode()


def streamed(body: dict[str, Any], content: str, usage: dict[str, Any] | None, whole: bool) -> bytes:
    """The same completion as events, which nobody has asked for; ``whole`` or broken off."""
    chunks: list[dict[str, Any]] = [
        {"choices": [{"delta": {"content": content[at : at + 20]}}]} for at in range(0, len(content), 20)
    ]
    chunks = (
        [*chunks, {"choices": [{"delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": usage}]
        if whole
        else chunks[:-1]
    )
    events = [json.dumps(body | chunk) for chunk in chunks] + ["[DONE]"] * whole
    return "".join(f"data: {event}\n\n" for event in events).encode()


def rewritten(fault: str, truth: str) -> dict[str, Any]:
    """What the model is to write: the truth with the words of the table swapped, and the list of that."""
    if match := re.fullmatch(r"Reason: (.*) Result: (.*)\.", truth):
        changes = [("result", match[2], f"not {match[2]}" if fault == "appended" else "Never")]
        answer = f"Reason: {match[1]} Result: {changes[0][2]}."
    else:
        changes = [(kind, word, other) for word, (kind, other) in SWAPS.items() if re.search(rf"\b{word}\b", truth)]
        answer = truth
        for _, word, other in changes:
            answer = re.sub(rf"\b{word}\b", other, answer)
    if fault == "unclaimed":
        answer = answer.replace("near", "under")
    elif fault == "appended":
        answer += " There is a bird in the sky, and a child is flying a kite above the roofs of the old town."
    elif fault == "unchanged":
        answer = truth
    elif fault == "unmade":
        changes.append(("object", "tree", "kite"))
    return {"answer": answer, "changes": [{"kind": k, "from": a, "to": b} for k, a, b in changes]}
