"""Running workloads by mechanisms: one point, a comparison, a grid of points on many cores or machines."""
