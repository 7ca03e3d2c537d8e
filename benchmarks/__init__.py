"""What the library costs: each file is a command, and `python -m benchmarks` runs all of them."""
