"""A submission's confined process as its judge holds it: questions go in, replies come out, each in its time."""

from __future__ import annotations

import os
import secrets
import selectors
import subprocess
import tempfile
import time
from types import ModuleType
from typing import Any

from povid_lib.course.grading import as_user, confine, wire
from povid_lib.course.grading.assignment import Limits

WAYS: dict[str, ModuleType] = {"namespaces": confine, "user": as_user}  # the stronger and the weaker way to confine
_GONE_SECONDS = 60.0  # that the kernel may take to end a namespace


class NotConfined(BaseException):
    """The machine could not confine a process. No ``Exception``: no check may take it for the student's fault."""


class NotStarted(BaseException):
    """The machine could not start Python in its time. No ``Exception``, as ``NotConfined``."""


class Process:
    """A confined process, its pipes and its folder. ``stop`` it: nothing of the student's is left running then."""

    def __init__(self, slot: int, limits: Limits, way: str = "namespaces") -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="povid-grade-")
        (given, self._in), (self._out, taken), (self._faults, told) = os.pipe(), os.pipe(), os.pipe()
        held, self._life = os.pipe()  # closed by us, or because we are no more: all of the process ends
        start = WAYS[way].command(self._folder.name, slot, limits, held)
        env = confine.environment() if way == "namespaces" else confine.environment(self._folder.name)
        self._started = subprocess.Popen(
            start, stdin=given, stdout=taken, stderr=told, pass_fds=[held], env=env, cwd="/"
        )
        for pipe in (given, taken, told, held):
            os.close(pipe)
        for pipe in (self._in, self._out, self._faults):
            os.set_blocking(pipe, False)

    def ask(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a message and wait for its reply. Raises ``TimeoutError``, or ``ChildProcessError`` if the process has ended, and
        ``ValueError`` for what is no reply to it."""
        number = secrets.token_hex(8)  # a reply that was written before its question does not have it
        end, out, back = time.monotonic() + seconds, wire.dumps({"id": number, **message}), bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(self._in, selectors.EVENT_WRITE)
            selector.register(self._out, selectors.EVENT_READ)
            while not back.endswith(b"\n"):
                left = end - time.monotonic()
                if left <= 0:
                    raise wire.raised(
                        "TimeoutError", f"no answer within {seconds:.0f} s; is there a loop without an end?"
                    )
                for key, _ in selector.select(left):
                    if key.fd == self._in:
                        out = self._write(out)
                        if not out:
                            selector.unregister(self._in)
                    else:
                        back += self._read()
                if len(back) > wire.MOST:
                    raise ValueError("too long an answer")
        reply = wire.loads(bytes(back))
        if reply.pop("id", None) != number:
            raise ValueError("an answer to no question")
        return reply

    def _write(self, data: bytes) -> bytes:
        try:
            return data[os.write(self._in, data) :]
        except BrokenPipeError as fault:
            raise self._ended() from fault

    def _read(self) -> bytes:
        data = os.read(self._out, 1 << 16)
        if not data:
            raise self._ended()
        return data

    def _ended(self) -> Exception:
        self._end()
        faults = os.read(self._faults, 1 << 16)  # the student's own errors lead nowhere: these are of the confining
        if faults:
            raise NotConfined(faults.decode(errors="replace").strip().split("\n")[-1])
        why = "the process that ran your code has ended: it exited, crashed, or took too much memory"
        return wire.raised("ChildProcessError", why)

    def stop(self) -> None:
        """End the process and all that it may have started, and wait until they are gone."""
        self._end()
        for pipe in (self._in, self._out, self._faults):
            os.close(pipe)
        self._folder.cleanup()

    def _end(self) -> None:
        """``unshare`` ends when the first process of the namespace has, and that has outlived all others."""
        if self._life >= 0:
            os.close(self._life)
            self._life = -1
        try:
            self._started.wait(_GONE_SECONDS)
        except subprocess.TimeoutExpired as fault:
            self._started.kill()
            raise NotConfined("processes of a submission are still there after they were ended") from fault
