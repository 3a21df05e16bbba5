// What the programs of this folder share: short names of types, the entry point, and rotation.
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long long u64;
#define HANDLER(size) __attribute__((section("raw_memory/" #size), used)) u64 handler(u8 *m, u64 length)
#define inline __attribute__((always_inline)) static
#define BARRIER asm volatile("" ::: "memory");  // what was loaded is loaded again: few values live at once
#if ROUNDS
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL
#endif
inline u32 rol(u32 x, int n) { return x << n | x >> (32 - n); }
