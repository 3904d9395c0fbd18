"""The judges: one module and one file in conf/judge each; nothing lists them."""
