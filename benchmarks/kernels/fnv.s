// FNV-1a, 64 bits, over 1 KiB.
    r0 = 0xcbf29ce484222325 ll
    r4 = 0x100000001b3 ll
    r5 = 1024
loop:
    r3 = *(u8 *)(r1 + 0)
    r0 ^= r3
    r0 *= r4
    r1 += 1
    r5 += -1
    if r5 != 0 goto loop
    exit
