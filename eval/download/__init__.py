"""Downloads of benchmarks: from the Hugging Face hub, and from the sources behind a benchmark."""
