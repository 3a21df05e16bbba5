/* What every kernel is given: the arguments of native code, and where a graft's state lies (layout.h is generated). */
#include <stdint.h>
#include <string.h>
#include "layout.h"

struct context {
    uint64_t data, data_end, tag, badge, now;
    uint32_t op, status, slot, event, ncaps, flags;
};

enum { DELIVER = 0, CONSUME = 1 };

#define KERNEL                                                                                                     \
    int64_t kernel(const struct context *restrict context, uint8_t *restrict body, void *restrict stack,            \
                   uint8_t *restrict maps, uint64_t *restrict registers, uint64_t *restrict frames,                 \
                   uint8_t *restrict control, uint64_t *restrict counts)
#define LENGTH (context->data_end - context->data)
#define STATE(name) ((void *)(maps + AT_##name))

static inline int64_t finish(uint64_t *registers, uint64_t result)
{
    registers[0] = result;
    return 0;
}
