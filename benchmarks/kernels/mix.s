// 64 rounds of multiply, add, shift and xor on one word of memory.
    r0 = *(u64 *)(r1 + 0)
    r4 = 0
loop:
    r0 *= 31
    r0 += 7
    r3 = r0
    r3 >>= 13
    r0 ^= r3
    r4 += 1
    if r4 < 64 goto loop
    exit
