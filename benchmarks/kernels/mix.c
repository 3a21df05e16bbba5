/* 64 rounds of multiply, add, shift and xor on one word of memory. */
#include "kernel.h"

KERNEL
{
    uint64_t x = *(uint64_t *)body;
    for (int i = 0; i < 64; i++) {
        x = x * 31 + 7;
        x ^= x >> 13;
    }
    return finish(registers, x);
}
