"""`python -m benchmarks`: pure functions on fixed bytes, and whole gateways side by side in one run."""
