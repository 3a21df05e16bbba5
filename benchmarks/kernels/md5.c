/* MD5 (RFC 1321) of a body of 4 KiB. */
#include "kernel.h"

#define STEP(a, b, mixed, word, turn, sine) \
    a += (mixed) + (word) + (sine); \
    a = b + (a << turn | a >> (32 - turn));
#define FIRST(a, b, c, d, word, turn, sine) STEP(a, b, d ^ (b & (c ^ d)), word, turn, sine)
#define SECOND(a, b, c, d, word, turn, sine) STEP(a, b, c ^ (d & (b ^ c)), word, turn, sine)
#define THIRD(a, b, c, d, word, turn, sine) STEP(a, b, b ^ c ^ d, word, turn, sine)
#define FOURTH(a, b, c, d, word, turn, sine) STEP(a, b, c ^ (b | ~d), word, turn, sine)

KERNEL
{
    static const uint32_t padding[16] = {[0] = 0x80, [14] = 8 * 4096};
    uint32_t a0 = 0x67452301, b0 = 0xefcdab89, c0 = 0x98badcfe, d0 = 0x10325476;
    if (LENGTH < 4096)
        return finish(registers, DELIVER);
    for (int block = 0; block < 65; block++) {
        const uint32_t *x = block < 64 ? (const uint32_t *)body + 16 * block : padding;
        uint32_t a = a0, b = b0, c = c0, d = d0;
        FIRST(a, b, c, d, x[0], 7, 0xd76aa478)
        FIRST(d, a, b, c, x[1], 12, 0xe8c7b756)
        FIRST(c, d, a, b, x[2], 17, 0x242070db)
        FIRST(b, c, d, a, x[3], 22, 0xc1bdceee)
        FIRST(a, b, c, d, x[4], 7, 0xf57c0faf)
        FIRST(d, a, b, c, x[5], 12, 0x4787c62a)
        FIRST(c, d, a, b, x[6], 17, 0xa8304613)
        FIRST(b, c, d, a, x[7], 22, 0xfd469501)
        FIRST(a, b, c, d, x[8], 7, 0x698098d8)
        FIRST(d, a, b, c, x[9], 12, 0x8b44f7af)
        FIRST(c, d, a, b, x[10], 17, 0xffff5bb1)
        FIRST(b, c, d, a, x[11], 22, 0x895cd7be)
        FIRST(a, b, c, d, x[12], 7, 0x6b901122)
        FIRST(d, a, b, c, x[13], 12, 0xfd987193)
        FIRST(c, d, a, b, x[14], 17, 0xa679438e)
        FIRST(b, c, d, a, x[15], 22, 0x49b40821)
        SECOND(a, b, c, d, x[1], 5, 0xf61e2562)
        SECOND(d, a, b, c, x[6], 9, 0xc040b340)
        SECOND(c, d, a, b, x[11], 14, 0x265e5a51)
        SECOND(b, c, d, a, x[0], 20, 0xe9b6c7aa)
        SECOND(a, b, c, d, x[5], 5, 0xd62f105d)
        SECOND(d, a, b, c, x[10], 9, 0x02441453)
        SECOND(c, d, a, b, x[15], 14, 0xd8a1e681)
        SECOND(b, c, d, a, x[4], 20, 0xe7d3fbc8)
        SECOND(a, b, c, d, x[9], 5, 0x21e1cde6)
        SECOND(d, a, b, c, x[14], 9, 0xc33707d6)
        SECOND(c, d, a, b, x[3], 14, 0xf4d50d87)
        SECOND(b, c, d, a, x[8], 20, 0x455a14ed)
        SECOND(a, b, c, d, x[13], 5, 0xa9e3e905)
        SECOND(d, a, b, c, x[2], 9, 0xfcefa3f8)
        SECOND(c, d, a, b, x[7], 14, 0x676f02d9)
        SECOND(b, c, d, a, x[12], 20, 0x8d2a4c8a)
        THIRD(a, b, c, d, x[5], 4, 0xfffa3942)
        THIRD(d, a, b, c, x[8], 11, 0x8771f681)
        THIRD(c, d, a, b, x[11], 16, 0x6d9d6122)
        THIRD(b, c, d, a, x[14], 23, 0xfde5380c)
        THIRD(a, b, c, d, x[1], 4, 0xa4beea44)
        THIRD(d, a, b, c, x[4], 11, 0x4bdecfa9)
        THIRD(c, d, a, b, x[7], 16, 0xf6bb4b60)
        THIRD(b, c, d, a, x[10], 23, 0xbebfbc70)
        THIRD(a, b, c, d, x[13], 4, 0x289b7ec6)
        THIRD(d, a, b, c, x[0], 11, 0xeaa127fa)
        THIRD(c, d, a, b, x[3], 16, 0xd4ef3085)
        THIRD(b, c, d, a, x[6], 23, 0x04881d05)
        THIRD(a, b, c, d, x[9], 4, 0xd9d4d039)
        THIRD(d, a, b, c, x[12], 11, 0xe6db99e5)
        THIRD(c, d, a, b, x[15], 16, 0x1fa27cf8)
        THIRD(b, c, d, a, x[2], 23, 0xc4ac5665)
        FOURTH(a, b, c, d, x[0], 6, 0xf4292244)
        FOURTH(d, a, b, c, x[7], 10, 0x432aff97)
        FOURTH(c, d, a, b, x[14], 15, 0xab9423a7)
        FOURTH(b, c, d, a, x[5], 21, 0xfc93a039)
        FOURTH(a, b, c, d, x[12], 6, 0x655b59c3)
        FOURTH(d, a, b, c, x[3], 10, 0x8f0ccc92)
        FOURTH(c, d, a, b, x[10], 15, 0xffeff47d)
        FOURTH(b, c, d, a, x[1], 21, 0x85845dd1)
        FOURTH(a, b, c, d, x[8], 6, 0x6fa87e4f)
        FOURTH(d, a, b, c, x[15], 10, 0xfe2ce6e0)
        FOURTH(c, d, a, b, x[6], 15, 0xa3014314)
        FOURTH(b, c, d, a, x[13], 21, 0x4e0811a1)
        FOURTH(a, b, c, d, x[4], 6, 0xf7537e82)
        FOURTH(d, a, b, c, x[11], 10, 0xbd3af235)
        FOURTH(c, d, a, b, x[2], 15, 0x2ad7d2bb)
        FOURTH(b, c, d, a, x[9], 21, 0xeb86d391)
        a0 += a, b0 += b, c0 += c, d0 += d;
    }
    uint32_t *digest = STATE(digest);
    digest[0] = a0, digest[1] = b0, digest[2] = c0, digest[3] = d0;
    return finish(registers, CONSUME);
}
