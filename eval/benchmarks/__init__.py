"""The benchmarks: one module and one file in conf/benchmark each; nothing lists them."""
