"""Sweeps: many runs of one command, each a process and a folder of its own."""
