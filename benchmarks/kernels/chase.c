/* Follows a list within a body for 256 links: each cell holds the number of the next one and a value. */
#include "kernel.h"

enum { CELLS = 512, LINKS = 256 };

struct cell {
    uint32_t next, value;
};

KERNEL
{
    const struct cell *cells = (const struct cell *)body;
    if (LENGTH < CELLS * sizeof *cells)
        return finish(registers, DELIVER);
    uint64_t place = context->tag % CELLS, sum = 0;
    for (int i = 0; i < LINKS; i++) {
        sum += cells[place].value;
        place = cells[place].next % CELLS;
    }
    *(uint64_t *)STATE(total) = sum;
    return finish(registers, CONSUME);
}
