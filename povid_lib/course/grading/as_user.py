"""The weaker way to confine a submission, where there are no namespaces, as in most containers: another user, and nothing else.

Needs root on Linux. Kept: the judge's files and processes are another user's, limits of time and memory, no network, no second
process, no program, no signal (a seccomp filter), results are written by the judge alone. Lost: a root of its own, so that what the
disk shows to everybody is seen; and a bound on the disk, but for the size of one file. ``LOST`` says it to the teacher.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import pwd
import resource
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

from povid_lib.course.grading import confine
from povid_lib.course.grading.assignment import Limits

LOST = (
    "There are no namespaces here: a submission runs as another user, without network and without a second process, and sees what "
    "everybody on this machine may see. It may leave files where everybody may write."
)
_X86, _ARM = 0xC000003E, 0xC00000B7  # AUDIT_ARCH of both
_DENIED = {  # system call -> its number on x86-64 and on ARM64; None where it does not exist
    "socket": (41, 198), "fork": (57, None), "vfork": (58, None), "clone": (56, 220), "clone3": (435, 435), "execve": (59, 221),
    "execveat": (322, 281), "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "shmget": (29, 194),
    "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180), "memfd_create": (319, 279), "unshare": (272, 97),
    "setns": (308, 268), "mount": (165, 40), "chroot": (161, 51), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218),
}  # fmt: skip
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # of classic BPF
_ALLOW, _DENY, _KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000  # 1: EPERM
_X32 = 0x40000000  # the numbers of another ABI of x86-64 begin here
_PARENT_DEATH, _SECCOMP, _FILTER = 1, 22, 2  # of prctl(2)


def check_possible() -> None:
    """Raises ``ValueError`` where this way cannot be gone: no root, no Linux, another processor, a Python closed to others."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64") or os.geteuid() != 0:
        raise ValueError("To run students' code as another user the judge must be root, on Linux (x86-64 or ARM64).")
    code = "import numpy, povid_lib.course.grading.worker"
    user = confine.FIRST_UID
    try:
        tried = subprocess.run(
            [sys.executable, "-P", "-c", code], user=user, group=user, extra_groups=[], env=confine.environment("/"), cwd="/",
            capture_output=True, text=True,
        )  # fmt: skip
        said = (tried.stderr.strip() or "it does not start").split("\n")[-1] if tried.returncode else ""
    except OSError as fault:
        said = str(fault)
    if said:
        raise ValueError(f"Another user cannot run {sys.executable} ({said}); install Python where all can read it.")


def check_hidden(*paths: str | Path) -> None:
    """Raises ``ValueError`` for a path that every user can read."""
    for path in (Path(path).resolve() for path in paths):
        closed = [place for place in path.parents if not place.stat().st_mode & 0o001]
        if path.exists() and not closed and path.stat().st_mode & 0o004:
            raise ValueError(
                f"{path} can be read by everybody, and so by students' code; give it, or a folder above it, the mode 700."
            )


def command(folder: str | Path, slot: int, limits: Limits, life: int) -> list[str]:
    """As ``confine.command``; the folder becomes the student's user's. Raises ``ValueError`` if the number is somebody's."""
    uid = confine.FIRST_UID + slot
    if any(user.pw_uid == uid for user in pwd.getpwall()):
        raise ValueError(f"The user number {uid} belongs to somebody on this machine; students' code must be nobody's.")
    settings = {"folder": str(folder), "uid": uid, "seconds": limits.seconds, "life": life}
    sizes = {"megabytes": limits.megabytes, "disk_megabytes": limits.disk_megabytes}
    return [sys.executable, "-P", "-m", __name__, json.dumps(settings | sizes)]


def main(settings: dict[str, Any]) -> None:
    """Serve in a child of another user, until it ends or the judge closes its pipe."""
    from povid_lib.course.grading import worker

    os.chown(settings["folder"], settings["uid"], settings["uid"])
    os.chdir(settings["folder"])

    def confined() -> None:
        confine.limit(settings)
        resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
        confine.give_up_rights(settings["uid"])
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PARENT_DEATH, signal.SIGKILL, 0, 0, 0) or os.getppid() == 1:
            raise OSError("the judge is gone")
        _deny(libc)
        worker.main()

    confine.supervise(settings["life"], confined)


def _deny(libc: ctypes.CDLL) -> None:
    """No more of the system calls in ``_DENIED``, for this process and for good. Raises ``OSError`` if the kernel refuses."""
    program = _program(platform.machine())
    held = ctypes.create_string_buffer(program, len(program))
    rule = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(held))
    if libc.prctl(_SECCOMP, _FILTER, ctypes.c_char_p(rule), 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel takes no seccomp filter for students' code")


def _program(machine: str) -> bytes:
    """The filter: instructions of classic BPF over (number of the call, architecture)."""
    arch, column = (_X86, 0) if machine == "x86_64" else (_ARM, 1)
    numbers = [each[column] for each in _DENIED.values() if each[column] is not None]
    lines = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    if machine == "x86_64":
        lines += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _DENY)]
    for number in numbers:
        lines += [(_EQUAL, 0, 1, number or 0), (_RETURN, 0, 0, _DENY)]
    lines.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *line) for line in lines)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
