"""Preference sets: one module and one file in conf/convert/source each; nothing lists them."""
