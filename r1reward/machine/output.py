"""Redirection of the output of libraries and their processes to a file."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def quiet(log: Path) -> Iterator[TextIO]:
    """Send the standard outputs of this process and its children to ``log``; yield the real one.

    Files are exchanged below Python, where engines that were compiled, or forked, print as well.
    An exception that leaves the block says where to read on.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    real = [os.dup(1), os.dup(2)]
    with open(log, "ab") as file, os.fdopen(os.dup(1), "w", 1, "utf-8") as shown:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield shown
        except Exception as error:
            error.add_note(f"What was printed meanwhile is in {log}")
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, saved in zip((1, 2), real, strict=True):
                os.dup2(saved, descriptor)
                os.close(saved)
