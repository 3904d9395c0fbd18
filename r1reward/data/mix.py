"""Mixes data sets: what stays, in which part, in which order; hashes decide, nothing else.

A choice is a hash of the seed and of what a record says and shows. Neither the order of the inputs
nor the number of workers matters, and records that are added leave the others where they were.

The first pass keeps 54 bytes of a row with one image (:data:`ROW` and two of :data:`LINK`), and
about as much again while it looks for groups. The second moves the rows that stay through a spool
on the disk, as large as they are: a shuffled order needs all of them at hand.
"""

import hashlib
import multiprocessing
import unicodedata
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from enum import IntEnum
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from r1reward.data.shards import Shard, write_shard
from r1reward.media import ImageError, content_of
from r1reward.record import Media, Record, RecordError
from r1reward.rows import Row, RowError, Unit, read_unit
