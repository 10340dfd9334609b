"""One run a folder: whoever works in it holds its lock, which goes with the process, however that ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"  # in the folder; the file stays, the lock does not


@contextmanager
def locked(folder: str | Path, wait: bool = False) -> Iterator[None]:
    """Hold the folder, which is made if it is not there. The same process may hold it several times over.

    If another process holds it, it is waited for (``wait``), or ``ValueError`` raised.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.resolve() / LOCK, is_singleton=True)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout as error:
        raise ValueError(f"{folder} is in use by another run; wait for its end, or give another folder.") from error
    try:
        yield
    finally:
        lock.release()
