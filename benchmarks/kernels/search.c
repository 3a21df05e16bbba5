/* Sixteen binary searches in 64 sorted words, for the next of 1024 keys in random order; the sum of what is found. */
#include "kernel.h"

struct memory {
    uint64_t sorted[64], keys[1024], next;
};

KERNEL
{
    struct memory *memory = (struct memory *)body;
    uint64_t sum = 0;
    for (int i = 0; i < 16; i++) {
        uint64_t key = memory->keys[memory->next & 1023];
        memory->next = (memory->next & 1023) + 1;
        uint64_t low = 0, high = 64;
        while (low < high) {
            uint64_t middle = (low + high) >> 1;
            if (memory->sorted[middle] < key)
                low = middle + 1;
            else
                high = middle;
        }
        sum += low;
    }
    return finish(registers, sum);
}
