"""A process that sees Python, the library and an empty folder, and nothing else: no files of others, no network, no second process.

``command`` gives what starts it: ``unshare`` (util-linux) makes new namespaces, and this module as their first process lays out a
root of its own, then gives up all rights and serves (``worker``). Where the judge is root, the student's process is another user's;
where not, it is in a user namespace without capabilities. Linux alone has these; elsewhere nothing is graded.
"""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import resource
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from povid_lib.course.grading.assignment import Limits

FIRST_UID = 64_600  # users of nobody's, one for each judge that runs at a time
FOLDER = "/answer"  # where the student's process stands
_LIBRARY = Path(__file__).resolve().parents[2]
_SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/etc/ld.so.cache", "/dev/null", "/dev/zero", "/dev/urandom")
_BIND, _REC, _REMOUNT, _READ_ONLY, _RELATIME = 4096, 16384, 32, 1, 1 << 21  # of mount(2)
_KEPT = 2 | 4 | 8 | 1024 | 2048  # nosuid, nodev, noexec, noatime, nodiratime: the same bits in statvfs and mount
_NO_NEW_PRIVILEGES, _DROP_FROM_BOUNDING_SET = 38, 24  # of prctl(2)
_CAPABILITIES_V3 = 0x20080522


def visible() -> list[str]:
    """The places that a student's process sees: the system's programs, this Python, and the library."""
    python = (sys.prefix, os.path.realpath(sys.prefix), sys.base_prefix)  # a virtual environment may be a link
    places = [*_SYSTEM, *python, str(_LIBRARY)]
    return [place for place in dict.fromkeys(places) if os.path.exists(place)]


def check_hidden(*paths: str | Path) -> None:
    """Raises ``ValueError`` for a path that a student's process would see."""
    for path in map(Path, paths):
        for place in visible():
            if path.resolve().is_relative_to(Path(place).resolve()):
                raise ValueError(f"{path} lies in {place}, which students' code can read; move it out of there.")


def check_possible() -> None:
    """Raises ``ValueError`` where a process cannot be confined."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        raise ValueError(
            "Grading confines students' code by Linux namespaces, and needs Linux with util-linux's unshare."
        )
    tried = subprocess.run([*_unshare(), "true"], capture_output=True, text=True)
    if tried.returncode:
        raise ValueError(
            f"This machine lets nobody make namespaces ({tried.stderr.strip()}), so that students' code cannot be confined. Grade "
            "as root, or allow unprivileged user namespaces; in a container, give it SYS_ADMIN, or go the weaker way, `--way user`."
        )


def command(folder: str | Path, slot: int, limits: Limits, life: int) -> list[str]:
    """The command that starts a confined process. ``folder``: an empty one, where its root is mounted; ``slot``: a number from 0
    for each that runs at a time; ``life``: the number of a pipe's reading end, which it inherits; it ends when the other is closed.

    Raises ``ValueError`` if somebody has the user number of the slot.
    """
    uid = FIRST_UID + slot if os.geteuid() == 0 else None
    if uid is not None and any(user.pw_uid == uid for user in pwd.getpwall()):
        raise ValueError(f"The user number {uid} belongs to somebody on this machine; students' code must be nobody's.")
    settings = {"root": str(folder), "uid": uid, "visible": visible(), "seconds": limits.seconds, "life": life}
    sizes = {"megabytes": limits.megabytes, "disk_megabytes": limits.disk_megabytes}
    return [*_unshare(), sys.executable, "-P", "-m", __name__, json.dumps(settings | sizes)]


def environment(home: str = FOLDER) -> dict[str, str]:
    """The variables of a confined process: none of the judge's own. ``home``: where it may write."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    places = {"PYTHONPATH": str(_LIBRARY.parent), "HOME": home, "TMPDIR": home, "PATH": "/usr/bin:/bin"}
    return {**threads, **places, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}


def _unshare() -> list[str]:
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]


# --- in the namespaces -------------------------------------------------------------------------------------------


def main(settings: dict) -> None:
    """Lay out the root, then serve in a child without rights. When the first process ends, all end."""
    from povid_lib.course.grading import worker

    root = Path(settings["root"])
    if settings["uid"] is not None:  # shared memory counts against no limit of a process; this is the namespace's own
        Path("/proc/sys/kernel/shmall").write_text("0", encoding="ascii")
    _mount("tmpfs", root, "tmpfs", 0, "size=1m,mode=755")
    for place in settings["visible"]:
        _show(Path(place), root)
    folder = root / FOLDER.strip("/")
    folder.mkdir()
    _mount("tmpfs", folder, "tmpfs", 2 | 4, f"size={settings['disk_megabytes']}m,nr_inodes=1000,mode=777")
    _mount("none", root, None, _REMOUNT | _READ_ONLY)
    os.chroot(root)
    os.chdir(FOLDER)

    def confined() -> None:
        limit(settings)
        # one process for its user; in a user namespace the two before it count too
        processes = 3 if settings["uid"] is None else 1
        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
        give_up_rights(settings["uid"])
        worker.main()

    supervise(settings["life"], confined)


def supervise(life: int, confined: Callable[[], None]) -> None:
    """Run ``confined`` in a child, and end it when the pipe ``life`` is closed. Then this process ends, and its namespace."""
    child = os.fork()
    if child == 0:
        try:
            os.close(life)
            confined()
        finally:
            os._exit(0)
    select.select([life, os.pidfd_open(child)], [], [])
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)  # its time and memory count


def _show(place: Path, root: Path) -> None:
    """Let a place of the system be seen under the new root, to be read only."""
    inside = root / str(place).lstrip("/")
    inside.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink():
        inside.symlink_to(os.readlink(place))
        return
    if inside.exists():  # it lies in another that is shown
        return
    if place.is_dir():
        inside.mkdir()
    else:
        inside.touch()
    _mount(str(place), inside, None, _BIND | _REC)
    kept = os.statvfs(place).f_flag
    relatime = _RELATIME if kept & 4096 else 0
    _mount("none", inside, None, _BIND | _REMOUNT | _READ_ONLY | relatime | (kept & _KEPT))


def _mount(source: str, target: Path, kind: str | None, flags: int, data: str | None = None) -> None:
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    if _libc().mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]):
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)}: mount of {source} for students' code", str(target))


def limit(settings: dict) -> None:
    """Limits of this process: memory, size of a file, processor time, open files."""
    space, disk = settings["megabytes"] << 20, settings["disk_megabytes"] << 20
    for what, most in (
        (resource.RLIMIT_AS, space),
        (resource.RLIMIT_FSIZE, disk),
        (resource.RLIMIT_CPU, int(settings["seconds"]) + 1),
        (resource.RLIMIT_NOFILE, 32),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def give_up_rights(uid: int | None) -> None:
    """Become another user, or nobody with rights. Raises ``OSError`` if any capability is left."""
    libc = _libc()
    for capability in range(64):
        if libc.prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0):
            break  # the kernel knows no more of them
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    header, none = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0), (ctypes.c_uint32 * 6)()
    left = (ctypes.c_uint32 * 6)()
    if (
        libc.capset(header, none)
        or libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        or libc.capget(header, left)
        or any(left)
    ):
        raise OSError("students' code would keep rights")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
