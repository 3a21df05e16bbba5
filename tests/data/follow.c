#include "graft.h"

struct key { u64 index; };
struct node { u64 next; u64 value; };

GRAFT_OP(block, read, 0, struct key, struct node);
GRAFT_SLOT(disk, 0, block, GRAFT_SEND);
GRAFT_BUDGET(follow, "graft/reply/disk.read", 400, 1, 64);

struct { __uint(type, GRAFT_HASH); __type(key, u64); __type(value, struct node); __uint(max_entries, 1024); } nodes SEC(".maps");

static u64 hops;
static const u32 table[4] = { 1, 2, 3, 4 };

static __attribute__((noinline)) u64 twice(u64 x) { return x * 2 + table[x & 3]; }

GRAFT_ON_FROM(reply, disk, read) u64 follow(const struct graft_context *ctx)
{
    const struct node *node = ctx->data;
    struct key key;
    u64 tag = ctx->tag;
    struct node *seen;

    if ((const void *)(node + 1) > ctx->data_end || node->next == 0)
        return GRAFT_REPLY_DELIVER;
    hops++;
    seen = graft_map_lookup_elem(&nodes, &tag);
    if (seen)
        seen->value += twice(node->value);
    key.index = node->next;
    return graft_send(disk, block_read, tag, &key, sizeof key) ? GRAFT_REPLY_DELIVER : GRAFT_REPLY_CONSUME;
}
