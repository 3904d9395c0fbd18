"""Data sets: conversion, checks, decontamination, difficulty, mixing. `tools/` has the commands."""
