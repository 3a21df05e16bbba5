// Options of a header: kind, length, value, as in IPv4 and TCP.
#include "common.h"

HANDLER(512) {
    u32 at = m[0] & 63, sum = 0, seen = 0;
    UNROLL
    for (int i = 0; i < (ROUNDS ? ROUNDS : 40); i++) {
        if (at >= 480) break;
        BARRIER
        u8 kind = m[at], size = m[at + 1];
        if (kind == 0) break;
        if (kind == 1) { at++; continue; }
        if (size < 2 || at + size > 480) return 1;
        switch (kind) {
        case 2: sum += m[at + 2] << 8 | m[at + 3]; break;
        case 3: sum ^= m[at + 2]; seen |= 1; break;
        case 5: for (int j = 0; j < 4; j++) sum += m[at + 2 + j]; break;
        case 8: sum += *(u32 *)(m + ((at + 2) & ~3u)); seen |= 2; break;
        default: seen |= 4;
        }
        at += size;
    }
    return sum << 3 | seen;
}
