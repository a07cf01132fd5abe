/* logs/scan.h: finding bytes, 32 at a time where the processor has AVX2 (asked once at start), 16 with SSE2, which every
 * x86-64 has; elsewhere as libc does. At least SCAN_SLACK bytes after `end` must be readable. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
/* Of functions that scan_avx2() is inlined into. */
#define SCAN_FOR_AVX2 __attribute__((target("avx2")))
#else
#define SCAN_FOR_AVX2
#endif

#define SCAN_SLACK 32

/* Not inlined: for callers that are compiled for every processor. */
const char *scan_newline_avx2(const char *p, const char *end);

#if defined(__x86_64__)

/* The first `c` in [p, end); NULL. Inlined into callers that are compiled for both. */
SCAN_FOR_AVX2 static inline const char *scan_avx2(const char *p, const char *end, char c)
{
    __m256i wanted = _mm256_set1_epi8(c);
    for (; p < end; p += 32) {
        __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)p);
        uint32_t found = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, wanted));
        if (!found) continue;
        p += __builtin_ctz(found);
        return p < end ? p : NULL;
    }
    return NULL;
}

static inline const char *scan_sse2(const char *p, const char *end, char c)
{
    __m128i wanted = _mm_set1_epi8(c);
    for (; p < end; p += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
        uint32_t found = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, wanted));
        if (!found) continue;
        p += __builtin_ctz(found);
        return p < end ? p : NULL;
    }
    return NULL;
}

static inline bool scan_has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

#else

static inline const char *scan_sse2(const char *p, const char *end, char c)
{
    return p < end ? memchr(p, c, (size_t)(end - p)) : NULL;
}

static inline const char *scan_avx2(const char *p, const char *end, char c)
{
    return scan_sse2(p, end, c);
}

static inline bool scan_has_avx2(void)
{
    return false;
}

#endif
