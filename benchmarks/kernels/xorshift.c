/* 64 numbers of Marsaglia's xorshift generator (13, 7, 17), and the sum of them. */
#include "kernel.h"

KERNEL
{
    uint64_t x = *(uint64_t *)body, sum = 0;
    for (int i = 0; i < 64; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        sum += x;
    }
    return finish(registers, sum);
}
