// One block of ChaCha20 (RFC 8439), its state on the stack.
#include "common.h"

#define QR(a, b, c, d) a += b; d = rol(d ^ a, 16); c += d; b = rol(b ^ c, 12); a += b; d = rol(d ^ a, 8); c += d; \
    b = rol(b ^ c, 7);
HANDLER(128) {
    u32 x[16], *s = (u32 *)m;
    for (int i = 0; i < 16; i++) x[i] = s[i];
    UNROLL
    for (int round = 0; round < 10; round++) {
        QR(x[0], x[4], x[8], x[12]) QR(x[1], x[5], x[9], x[13]) QR(x[2], x[6], x[10], x[14])
        QR(x[3], x[7], x[11], x[15])
        QR(x[0], x[5], x[10], x[15]) QR(x[1], x[6], x[11], x[12]) QR(x[2], x[7], x[8], x[13])
        QR(x[3], x[4], x[9], x[14])
    }
    for (int i = 0; i < 16; i++) s[16 + i] = x[i] + s[i];
    return x[0];
}
