// The sum of 1024 bytes.
    r0 = 0
    r4 = 0
loop:
    r3 = r1
    r3 += r4
    r3 = *(u8 *)(r3 + 0)
    r0 += r3
    r4 += 1
    if r4 < 1024 goto loop
    exit
