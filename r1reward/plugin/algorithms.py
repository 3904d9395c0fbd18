"""Registration of every algorithm of :mod:`r1reward.algorithms` with verl."""

from r1reward.algorithms import discover

discover()
