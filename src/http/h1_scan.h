/* http/h1_scan.h: runs of bytes of one class, for the HTTP/1 parsers: sixteen at a time where there is
 * SSE2, else eight in a word. Never reads at or after `end`. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum h1_class {
    H1_TOKEN = 1,  /* tchar (RFC 9110 5.6.2) */
    H1_VALUE = 2,  /* of a field value: HTAB, SP, VCHAR, obs-text */
    H1_TARGET = 4, /* VCHAR but "#": a fragment is never sent */
    H1_HOST =
        8, /* of a reg-name (RFC 3986 3.2.2) but "%", which needs more, and ",", which would make a list */
    H1_DIGIT = 16,
};

extern const uint8_t h1_classes[256];

static inline bool h1_is(char c, enum h1_class class)
{
    return h1_classes[(uint8_t)c] & class;
}

static inline const char *h1_skip_bytes(const char *p, const char *end, enum h1_class class)
{
    while (p < end && h1_is(*p, class)) p++;
    return p;
}

#ifdef __SSE2__

/* The first byte that is not a tchar. Letters, digits and "-" go by sixteens; the rarer ones one by one. */
static inline const char *h1_skip_token(const char *p, const char *end)
{
    while (end - p >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i folded = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
        __m128i alpha = _mm_and_si128(_mm_cmpgt_epi8(folded, _mm_set1_epi8('a' - 1)),
                                      _mm_cmplt_epi8(folded, _mm_set1_epi8('z' + 1)));
        __m128i digit = _mm_and_si128(_mm_cmpgt_epi8(bytes, _mm_set1_epi8('0' - 1)),
                                      _mm_cmplt_epi8(bytes, _mm_set1_epi8('9' + 1)));
        __m128i dash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('-'));
        unsigned usual = (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(alpha, digit), dash));
        if (usual == 0xffff) {
            p += 16;
            continue;
        }
        p += __builtin_ctz(~usual);
        if (!h1_is(*p, H1_TOKEN)) return p;
        p++;
    }
    return h1_skip_bytes(p, end, H1_TOKEN);
}

/* The first byte that may not be in a field value: a line's end, as a rule. */
static inline const char *h1_skip_value(const char *p, const char *end)
{
    for (; end - p >= 16; p += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
        __m128i tab = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'));
        __m128i del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
        __m128i bad = _mm_or_si128(_mm_andnot_si128(tab, control), del);
        unsigned mask = (unsigned)_mm_movemask_epi8(bad);
        if (mask) return p + __builtin_ctz(mask);
    }
    return h1_skip_bytes(p, end, H1_VALUE);
}

/* The first byte that may not be in a request target: the space behind it, as a rule. */
static inline const char *h1_skip_target(const char *p, const char *end)
{
    for (; end - p >= 16; p += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i low = _mm_cmplt_epi8(bytes, _mm_set1_epi8('!')); /* signed: 0x80 and above, too */
        __m128i del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
        __m128i hash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('#'));
        unsigned mask = (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(low, del), hash));
        if (mask) return p + __builtin_ctz(mask);
    }
    return h1_skip_bytes(p, end, H1_TARGET);
}

#else

#define H1_EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Whether any byte is below 0x20, or 0x7f or above. False alarms do no harm: the bytes are then looked at
 * one by one. */
static inline bool h1_has_odd_byte(uint64_t word)
{
    uint64_t low = (word - H1_EACH(0x20)) & ~word & H1_EACH(0x80);
    uint64_t del = word ^ H1_EACH(0x7f);
    return (word & H1_EACH(0x80)) | low | ((del - H1_EACH(1)) & ~del & H1_EACH(0x80));
}

static inline const char *h1_skip_token(const char *p, const char *end)
{
    return h1_skip_bytes(p, end, H1_TOKEN);
}

static inline const char *h1_skip_value(const char *p, const char *end)
{
    for (; end - p >= 8; p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        if (h1_has_odd_byte(word) && h1_skip_bytes(p, p + 8, H1_VALUE) != p + 8) break;
    }
    return h1_skip_bytes(p, end, H1_VALUE);
}

/* "#" is caught by the table only: it has no place in the word test, so all goes by bytes. Targets are
 * short. */
static inline const char *h1_skip_target(const char *p, const char *end)
{
    return h1_skip_bytes(p, end, H1_TARGET);
}

#endif
