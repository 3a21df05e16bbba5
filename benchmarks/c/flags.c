// Errors are noted in a variable, and what they forbid is done much later.
#include "common.h"

HANDLER(256) {
    u64 sum = 0;
    UNROLL
    for (int i = 0; i < (ROUNDS ? ROUNDS : 60); i++) {
        BARRIER
        u8 a = m[i % 64], b = m[64 + i % 64];
        int wrong = 0;
        u32 place = a;
        if (a > 99) wrong = 1;
        if (b > 99) wrong |= 2;
        if (a < 7) place = 3; else if (b < 9) place = b + 40;
        sum += rol(a * b + i, 5);
        if (!wrong) sum += m[place + b];
        if (wrong == 2) sum ^= m[place];
    }
    return sum;
}
