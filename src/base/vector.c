#include "base/vector.h"

#if defined(__x86_64__)

/* The upper half of the registers, which only EVEX instructions reach; a write of 128 bits zeroes the rest. */
__attribute__((target("avx512vl"))) static void wipe_upper(void)
{
#define WIPE(n) __asm__ volatile("vpxord %%xmm" #n ", %%xmm" #n ", %%xmm" #n ::: "xmm" #n)
    WIPE(16);
    WIPE(17);
    WIPE(18);
    WIPE(19);
    WIPE(20);
    WIPE(21);
    WIPE(22);
    WIPE(23);
    WIPE(24);
    WIPE(25);
    WIPE(26);
    WIPE(27);
    WIPE(28);
    WIPE(29);
    WIPE(30);
    WIPE(31);
#undef WIPE
}

#define LOWER                                                                                         \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", \
        "xmm12", "xmm13", "xmm14", "xmm15"

__attribute__((target("avx"))) static void wipe_lower(void)
{
    __asm__ volatile("vzeroall" ::: LOWER);
}

void vector_wipe(void)
{
    if (__builtin_cpu_supports("avx512vl")) wipe_upper();
    if (__builtin_cpu_supports("avx")) wipe_lower();
}

#else

void vector_wipe(void)
{
}

#endif
