"""Speed and memory of chandra-bin: ``python -m benchmarks`` (see `benchmarks.harness` for how to add one)."""
