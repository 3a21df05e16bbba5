"""The kernel's mechanism: record tables, operations on them, scheduling, and the simulated clock (KERNEL section 7)."""
