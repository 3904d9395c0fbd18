"""Preference sets: one module and one file in conf/source each; nothing lists them."""
