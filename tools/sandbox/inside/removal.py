"""Removing what a call has left, however it is built."""

from __future__ import annotations

import os
import stat


def remove(path: str) -> None:
    """Remove a folder in which a call could write. Symbolic links in it are removed and never followed.

    What lies in its folders is moved up into it first: a path can be longer than any call takes, and deeper than our own stack.
    """
    try:
        os.chmod(path, 0o700)
        top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return
    # Chosen now, when no call lives any more that could take it.
    prefix, moved = f".{os.urandom(16).hex()}-", 0
    try:
        while names := os.listdir(top):
            for name in names:
                if stat.S_ISDIR(os.lstat(name, dir_fd=top).st_mode):
                    moved = _emptied(top, name, prefix, moved)
                    os.rmdir(name, dir_fd=top)
                else:
                    os.unlink(name, dir_fd=top)
        os.rmdir(path)
    except OSError:
        pass  # what is left belongs to nobody that runs
    finally:
        os.close(top)


def _emptied(top: int, name: str, prefix: str, moved: int) -> int:
    """Move what is in the folder up to the top, under names that nobody has; how many have been moved by now."""
    os.chmod(name, 0o700, dir_fd=top)
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
    try:
        for each in os.listdir(inner):
            moved += 1
            if stat.S_ISDIR(os.lstat(each, dir_fd=inner).st_mode):
                os.chmod(each, 0o700, dir_fd=inner)  # a folder that is closed to its owner is not moved
            os.rename(each, f"{prefix}{moved}", src_dir_fd=inner, dst_dir_fd=top)
    finally:
        os.close(inner)
    return moved
