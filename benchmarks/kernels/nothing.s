// What it costs to call anything.
    r0 = 0
    exit
