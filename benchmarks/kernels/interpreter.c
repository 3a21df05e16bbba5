/* A switch interpreter in C that does what jit/interpreter.py does on the same tables: predecoded records, an address
   checked by region, bounds, rights and alignment, registers checked for being defined, instructions counted by class,
   fuel. Atomics and calls are left out: a program that has them ends with UNSUPPORTED.

   tables.h is generated: struct record, region, handler and control, and the operations' numbers. */
#include <stdint.h>
#include <string.h>
#include "tables.h"

enum { EXITED, HELPER, EXHAUSTED, FAULTED, UNSUPPORTED };
enum { READ = 1, WRITE = 2, STRIDED = 4, TRACKED = 8 };
enum { CONTEXT = 1, BODY = 2, STACK = 3, STACK_BYTES = 512, CHUNK = 255, CALL_CLASS = 7, EXIT_CLASS = 8, WRITTEN = 11 };

#define NOWHERE (-1)
#define TOP (1ull << 63)

static int64_t locate_slowly(const struct region *region, uint64_t offset, uint64_t length, int64_t need, int64_t align)
{
    if ((region->rights & need) != need || offset + length > (uint64_t)region->size)
        return NOWHERE;
    if (offset & (length - 1) & align || region->rights & TRACKED)
        return NOWHERE;
    if (region->rights & STRIDED && offset % region->stride + length > (uint64_t)region->span)
        return NOWHERE;
    return region->base + offset;
}

static inline int64_t locate(const struct region *regions, uint64_t count, uint64_t where, uint64_t length, int64_t need,
                             int64_t align)
{
    uint64_t number = where >> 32, offset = where & 0xffffffff;
    if (number >= count)
        return NOWHERE;
    const struct region *region = &regions[number];
    if ((region->rights & (need | STRIDED | TRACKED)) == need && offset + length <= (uint64_t)region->size &&
        !(offset & (length - 1) & align))
        return region->base + offset;
    return locate_slowly(region, offset, length, need, align);
}

#define ACCESS(where, type, need)                                                                                       \
    int64_t at = locate(regions, region_count, where, sizeof(type), need, align);                                       \
    if (at < 0) {                                                                                                       \
        status = FAULTED;                                                                                               \
        goto stop;                                                                                                      \
    }

#define LOAD(type)                                                                                                      \
    {                                                                                                                   \
        ACCESS(r[i.src] + i.offset, type, READ)                                                                         \
        type value;                                                                                                     \
        memcpy(&value, arena + at, sizeof value);                                                                       \
        r[i.dst] = (int64_t)value;                                                                                      \
        break;                                                                                                          \
    }

#define STORE(type)                                                                                                     \
    {                                                                                                                   \
        ACCESS(r[i.dst] + i.offset, type, WRITE)                                                                        \
        type value = r[i.src] + i.imm;                                                                                  \
        memcpy(arena + at, &value, sizeof value);                                                                       \
        break;                                                                                                          \
    }

#define JUMP(condition)                                                                                                 \
    if (condition)                                                                                                      \
        pc += i.offset;                                                                                                 \
    break;

#define A r[i.dst]
#define B (r[i.src] + i.imm)

static int64_t run(uint8_t *restrict arena, const struct record *restrict code, const struct region *restrict regions,
                   uint64_t *restrict registers, struct control *restrict c, int64_t *restrict counts)
{
    uint64_t r[12], undefined = c->undefined, region_count = c->region_count;
    int64_t pc = c->pc, fuel = c->fuel, align = c->align, status = -1;
    memcpy(r, registers, sizeof r);
    regions += c->region_base;
    while (status < 0) {
        if (fuel <= 0) {
            status = EXHAUSTED;
            break;
        }
        int64_t left = fuel < CHUNK ? fuel : CHUNK, chunk = left;
        uint64_t packed = 0, exits = 0;
        while (left > 0) {
            const struct record i = code[pc++];
            left--;
            packed += 1ull << i.shift;
            if (i.touch & undefined) {
                status = FAULTED;
                goto stop;
            }
            undefined &= ~(1ull << (i.touch >> WRITTEN));
            switch (i.op) {
            case MOV64: A = B; break;
            case ADD64: A += B; break;
            case SUB64: A -= B; break;
            case AND64: A &= B; break;
            case OR64: A |= B; break;
            case XOR64: A ^= B; break;
            case LSH64: A <<= B & 63; break;
            case RSH64: A >>= B & 63; break;
            case ARSH64: A = (int64_t)A >> (B & 63); break;
            case MUL64: A *= B; break;
            case NEG64: A = -A; break;
            case DIV64: A = B ? A / B : 0; break;
            case MOD64: A = B ? A % B : A; break;
            case SDIV64: A = B == 0 ? 0 : B == -1ull ? -A : (uint64_t)((int64_t)A / (int64_t)B); break;
            case SMOD64: A = B == 0 ? A : B == -1ull ? 0 : (uint64_t)((int64_t)A % (int64_t)B); break;
            case LOAD8: LOAD(uint8_t)
            case LOAD16: LOAD(uint16_t)
            case LOAD32: LOAD(uint32_t)
            case LOAD64: LOAD(uint64_t)
            case STORE8: STORE(uint8_t)
            case STORE16: STORE(uint16_t)
            case STORE32: STORE(uint32_t)
            case STORE64: STORE(uint64_t)
            case GOTO: pc += (int64_t)i.imm; break;
            case EXIT:
                exits++;
                status = EXITED;
                goto stop;
            case LDDW: A = i.imm; pc++; break;
            case JEQ64: JUMP(A == B)
            case JNE64: JUMP(A != B)
            case JGT64: JUMP(A > B)
            case JGE64: JUMP(A >= B)
            case JLT64: JUMP(A < B)
            case JLE64: JUMP(A <= B)
            case JSGT64: JUMP((int64_t)A > (int64_t)B)
            case JSGE64: JUMP((int64_t)A >= (int64_t)B)
            case JSLT64: JUMP((int64_t)A < (int64_t)B)
            case JSLE64: JUMP((int64_t)A <= (int64_t)B)
            case JSET64: JUMP(A & B)
            case MOV32: A = (uint32_t)B; break;
            case ADD32: A = (uint32_t)(A + B); break;
            case SUB32: A = (uint32_t)(A - B); break;
            case AND32: A = (uint32_t)(A & B); break;
            case OR32: A = (uint32_t)(A | B); break;
            case XOR32: A = (uint32_t)(A ^ B); break;
            case LSH32: A = (uint32_t)A << (B & 31); break;
            case RSH32: A = (uint32_t)A >> (B & 31); break;
            case ARSH32: A = (uint32_t)((int32_t)A >> (B & 31)); break;
            case MUL32: A = (uint32_t)(A * B); break;
            case NEG32: A = (uint32_t)-A; break;
            case DIV32: A = (uint32_t)B ? (uint32_t)A / (uint32_t)B : 0; break;
            case MOD32: A = (uint32_t)B ? (uint32_t)A % (uint32_t)B : (uint32_t)A; break;
            case SDIV32: A = (uint32_t)B ? (uint32_t)((int64_t)(int32_t)A / (int32_t)B) : 0; break;
            case SMOD32: A = (uint32_t)B ? (uint32_t)((int64_t)(int32_t)A % (int32_t)B) : (uint32_t)A; break;
            case JEQ32: JUMP((uint32_t)A == (uint32_t)B)
            case JNE32: JUMP((uint32_t)A != (uint32_t)B)
            case JGT32: JUMP((uint32_t)A > (uint32_t)B)
            case JGE32: JUMP((uint32_t)A >= (uint32_t)B)
            case JLT32: JUMP((uint32_t)A < (uint32_t)B)
            case JLE32: JUMP((uint32_t)A <= (uint32_t)B)
            case JSGT32: JUMP((int32_t)A > (int32_t)B)
            case JSGE32: JUMP((int32_t)A >= (int32_t)B)
            case JSLT32: JUMP((int32_t)A < (int32_t)B)
            case JSLE32: JUMP((int32_t)A <= (int32_t)B)
            case JSET32: JUMP((uint32_t)(A & B))
            case SX8_64: A = (int8_t)r[i.src]; break;
            case SX16_64: A = (int16_t)r[i.src]; break;
            case SX32_64: A = (int32_t)r[i.src]; break;
            case SX8_32: A = (uint32_t)(int8_t)r[i.src]; break;
            case SX16_32: A = (uint32_t)(int16_t)r[i.src]; break;
            case LOADS8: LOAD(int8_t)
            case LOADS16: LOAD(int16_t)
            case LOADS32: LOAD(int32_t)
            case LOW16: A = (uint16_t)A; break;
            case SWAP16: A = __builtin_bswap16(A); break;
            case SWAP32: A = __builtin_bswap32(A); break;
            case SWAP64: A = __builtin_bswap64(A); break;
            default:
                status = UNSUPPORTED;
                goto stop;
            }
        }
    stop:
        fuel -= chunk - left;
        for (int class = 0; class < EXIT_CLASS; class++)
            counts[class] += packed >> 8 * class & 0xff;
        counts[CALL_CLASS] -= exits;
        counts[EXIT_CLASS] += exits;
    }
    memcpy(registers, r, sizeof r);
    c->instructions += c->fuel - fuel;
    c->fuel = fuel;
    c->pc = pc;
    c->undefined = undefined;
    return status;
}

/* What jit.machine.begin does. */
static void begin(struct region *regions, uint64_t *registers, struct control *c, int64_t *counts,
                  const struct handler *h, int64_t body_at, int64_t body_length, int64_t fuel)
{
    c->pc = c->code_base = h->code_base;
    c->region_base = h->region_base;
    c->region_count = h->region_count;
    c->align = h->align;
    c->seed = h->seed;
    c->depth = c->instructions = c->helper = c->stack_peak = c->copied = c->fault_kind = c->checking = 0;
    c->fuel = fuel;
    c->undefined = 0;
    memset(counts, 0, COUNTERS * sizeof *counts);
    memset(registers, 0, 12 * sizeof *registers);
    struct region *context = &regions[h->region_base + CONTEXT], *body = &regions[h->region_base + BODY];
    struct region *frame = &regions[h->region_base + STACK];
    context->base = c->context_at, context->size = h->context_bytes, context->rights = READ;
    body->base = body_at, body->size = body_length, body->rights = h->body_rights;
    frame->base = c->stack_at, frame->size = STACK_BYTES, frame->low = STACK_BYTES, frame->rights = READ | WRITE;
    registers[10] = ((uint64_t)STACK << 32) + STACK_BYTES;
    if (h->context_bytes == 0) {
        registers[1] = body_length > 0 ? (uint64_t)BODY << 32 : 0;
        registers[2] = body_length;
    } else {
        registers[1] = (uint64_t)CONTEXT << 32;
    }
}

int64_t activations(uint8_t *arena, const struct record *code, struct region *regions, uint64_t *registers,
                    struct control *c, int64_t *counts, const struct handler *handler, int64_t body_at,
                    int64_t body_length, int64_t fuel, int64_t times)
{
    int64_t status = EXITED;
    for (int64_t time = 0; time < times && status == EXITED; time++) {
        begin(regions, registers, c, counts, handler, body_at, body_length, fuel);
        status = run(arena, code, regions, registers, c, counts);
    }
    return status;
}
