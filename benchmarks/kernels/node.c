/* Which child of a B-tree node to read next: the last whose key is not above the wanted one. */
#include "kernel.h"

enum { FANOUT = 31 };

struct node {
    uint32_t leaf, count;
    uint64_t keys[FANOUT], child[FANOUT];
};

KERNEL
{
    const struct node *node = (const struct node *)body;
    if (LENGTH < sizeof *node || node->leaf != 0)
        return finish(registers, DELIVER);
    uint64_t slot = 0;
    for (uint64_t i = 1; i < node->count && i < FANOUT; i++)
        if (node->keys[i] <= context->tag)
            slot = i;
    *(uint64_t *)STATE(next) = node->child[slot];
    return finish(registers, CONSUME);
}
