"""Predictions that are written down before the runs, and what came out: `docs/validation.md`.

    queueing      M/G/1 and preemptive-priority M/M/1 against the simulated kernel, with confidence intervals
    xrp           latencies of chained disk reads from the layers of one: a test that costs add up
    capacity      saturation and a bystander's share of the simulated kernel, from prices alone
    predictions   a prediction, its file with a digest, and the table of errors with its misses

Chains on the real Linux kernel are in `kernel_model.linux.chains`.
"""
