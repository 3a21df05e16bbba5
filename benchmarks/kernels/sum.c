/* The sum of 1024 bytes. */
#include "kernel.h"

KERNEL
{
    uint64_t sum = 0;
    for (int i = 0; i < 1024; i++)
        sum += body[i];
    return finish(registers, sum);
}
