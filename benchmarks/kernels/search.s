// Sixteen binary searches in 64 sorted words, for the next of 1024 keys in random order; the sum of what is found.
// Memory: 64 words, 1024 keys, the number of the next key.
    r0 = 0
    r9 = 0
next:
    r7 = *(u64 *)(r1 + 8704)
    r7 &= 1023
    r3 = r7
    r3 += 1
    *(u64 *)(r1 + 8704) = r3
    r7 <<= 3
    r7 += r1
    r7 = *(u64 *)(r7 + 512)
    r4 = 0
    r5 = 64
search:
    if r4 >= r5 goto found
    r6 = r4
    r6 += r5
    r6 >>= 1
    r8 = r6
    r8 <<= 3
    r8 += r1
    r8 = *(u64 *)(r8 + 0)
    if r8 < r7 goto above
    r5 = r6
    goto search
above:
    r6 += 1
    r4 = r6
    goto search
found:
    r0 += r4
    r9 += 1
    if r9 < 16 goto next
    exit
