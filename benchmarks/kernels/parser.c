/* Walks a message of fields (type, length, value): sums the numbers, counts the texts, skips what it does not know. */
#include "kernel.h"

enum { BYTES = 1024 };

KERNEL
{
    if (LENGTH < BYTES)
        return finish(registers, DELIVER);
    uint64_t place = 0, sum = 0, texts = 0, letters = 0, unknown = 0;
    for (int round = 0; place <= BYTES - 6 && round < 512; round++) {
        uint8_t kind = body[place];
        uint64_t length = body[place + 1], start = place + 2, after = start + length;
        if (kind == 0 || after > BYTES)
            break;
        switch (kind) {
        case 1:
            if (length != 1)
                goto end;
            sum += body[start];
            break;
        case 2:
            if (length != 2)
                goto end;
            sum += (uint64_t)body[start] << 8 | body[start + 1];
            break;
        case 3: {
            uint64_t number = 0;
            if (length != 4)
                goto end;
            for (int i = 0; i < 4; i++)
                number = number << 8 | body[start + i];
            sum += number;
            break;
        }
        case 4:
            texts++;
            for (uint64_t i = start; i < after; i++)
                if (body[i] >= 'A' && body[i] <= 'Z')
                    letters++;
            break;
        default:
            unknown++;
        }
        place = after;
    }
end:
    *(uint64_t *)STATE(total) = sum;
    *(uint64_t *)STATE(texts) = texts;
    *(uint64_t *)STATE(letters) = letters;
    *(uint64_t *)STATE(skipped) = unknown;
    return finish(registers, CONSUME);
}
