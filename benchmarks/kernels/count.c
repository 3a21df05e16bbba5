/* Counts the words of a body in a hash map of the same kind: two hashes choose two buckets of eight places with tags of
   one byte (jit/maps.py). */
#include "kernel.h"

enum { WORDS = 128, BUCKET = 8, BUCKETS = MAP_counts_buckets, ENTRIES = MAP_counts_entries };

#define LOW_BITS 0x0101010101010101u
#define FACTOR 0x9e3779b97f4a7c15u
#define FINAL 0xd6e8feb86659fd93u

struct map {
    uint64_t count, tags[BUCKETS], keys[BUCKETS * BUCKET], values[BUCKETS * BUCKET];
};

static inline uint64_t hash_of(uint32_t key, uint64_t seed)
{
    uint64_t x = ((seed ^ 4) ^ __builtin_bswap32(key)) * FACTOR;
    x = (x ^ x >> 32) * FINAL;
    return x ^ x >> 29;
}

static inline uint64_t first_bucket(uint64_t hash) { return (hash & 0xffffffff) * BUCKETS >> 32; }

static inline uint64_t second_bucket(uint64_t hash)
{
    uint64_t other = (hash >> 32) * (BUCKETS - 1) >> 32;
    return other + (other >= first_bucket(hash));
}

static inline uint8_t tag_of(uint64_t hash)
{
    uint8_t tag = hash * FACTOR >> 56;
    return tag ? tag : 0xff;
}

/* The top bit of each byte that is 0. */
static inline uint64_t zeros(uint64_t word)
{
    const uint64_t rest = 0x7f * LOW_BITS;
    return ~(((word & rest) + rest) | word | rest);
}

static inline int64_t find_in(const struct map *map, uint64_t bucket, uint64_t hash, uint32_t key)
{
    for (uint64_t left = zeros(map->tags[bucket] ^ tag_of(hash) * LOW_BITS); left; left &= left - 1) {
        uint64_t place = bucket * BUCKET + (__builtin_ctzll(left) >> 3);
        if ((uint32_t)map->keys[place] == key)
            return place;
    }
    return -1;
}

static int64_t insert(struct map *map, uint64_t hash, uint32_t key)
{
    uint64_t first = first_bucket(hash), second = second_bucket(hash);
    int taken = 0, others = 0;
    for (int i = 0; i < BUCKET; i++) {
        taken += ((uint8_t *)&map->tags[first])[i] != 0;
        others += ((uint8_t *)&map->tags[second])[i] != 0;
    }
    uint64_t bucket = others < taken ? second : first;
    if (map->count >= ENTRIES)
        return -1;
    for (int i = BUCKET - 1; i >= 0; i--) {
        uint8_t *tag = (uint8_t *)&map->tags[bucket] + i;
        if (*tag == 0) {
            *tag = tag_of(hash);
            map->keys[bucket * BUCKET + i] = key;
            map->count++;
            return bucket * BUCKET + i;
        }
    }
    return -1;
}

KERNEL
{
    struct map *map = (struct map *)(maps + MAP_counts_head);
    const uint32_t *words = (const uint32_t *)body;
    uint64_t seed = *(uint64_t *)(control + CONTROL_seed);
    if (LENGTH < 4 * WORDS)
        return finish(registers, DELIVER);
    for (int i = 0; i < WORDS; i++) {
        uint32_t word = words[i];
        uint64_t hash = hash_of(word, seed);
        int64_t place = find_in(map, first_bucket(hash), hash, word);
        if (place < 0)
            place = find_in(map, second_bucket(hash), hash, word);
        if (place >= 0) {
            map->values[place]++;
            continue;
        }
        place = insert(map, hash, word);
        if (place < 0)
            return finish(registers, DELIVER);
        map->values[place] = 1;
    }
    return finish(registers, CONSUME);
}
