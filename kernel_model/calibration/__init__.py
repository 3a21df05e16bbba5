"""`graft calibrate`: what single primitives cost on this machine, written as the cost profile `linux-host`.

Only primitives are measured, each by itself: an empty system call, a switch, a one-way wake, a copied byte, an empty
activation, reading the clock, instructions by class on code that no sample contains, helpers of maps. No chain of
operations is run, so that a chain that is predicted from the profile is a prediction.

    samples   what a measurement is, and the statistic
    system    the kernel's primitives: two processes on one core, pipes and futexes
    code      the engines' primitives: instructions by class, helpers, an activation
    writing   the profile's TOML, and what could not be measured
"""
