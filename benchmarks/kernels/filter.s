// Is this frame IPv4, UDP, to port 53? Twelve instructions.
    r0 = 0
    r3 = *(u16 *)(r1 + 12)
    if r3 != 0x0008 goto out
    r3 = *(u8 *)(r1 + 23)
    if r3 != 17 goto out
    r3 = *(u8 *)(r1 + 14)
    r3 &= 15
    if r3 != 5 goto out
    r3 = *(u16 *)(r1 + 36)
    if r3 != 0x3500 goto out
    r0 = 1
out:
    exit
