/* Is this frame IPv4, UDP, to port 53? */
#include "kernel.h"

KERNEL
{
    uint16_t type, port;
    memcpy(&type, body + 12, 2);
    memcpy(&port, body + 36, 2);
    return finish(registers, type == 0x0008 && body[23] == 17 && (body[14] & 15) == 5 && port == 0x3500);
}
