// A histogram on the stack, looked through and changed by indices from the data.
#include "common.h"

HANDLER(256) {
    u32 count[48] = {0}, best = 0;
    for (int i = 0; i < 256; i++) count[m[i] % 48]++;
    UNROLL
    for (int i = 0; i < 48; i++) {
        u32 j = count[i] & 31;
        if (count[i] > count[j]) { u32 t = count[j]; count[j] = count[i]; count[i] = t; }
        if (count[j] > count[best]) best = j;
    }
    return best;
}
