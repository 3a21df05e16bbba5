// 64 numbers of Marsaglia's xorshift generator (13, 7, 17), and the sum of them.
    r2 = *(u64 *)(r1 + 0)
    r0 = 0
    r4 = 0
loop:
    r3 = r2
    r3 <<= 13
    r2 ^= r3
    r3 = r2
    r3 >>= 7
    r2 ^= r3
    r3 = r2
    r3 <<= 17
    r2 ^= r3
    r0 += r2
    r4 += 1
    if r4 < 64 goto loop
    exit
