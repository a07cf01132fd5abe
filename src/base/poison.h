/* base/poison.h: tells AddressSanitizer which memory of an allocator of our own nobody may touch; nothing without it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#ifdef __SANITIZE_ADDRESS__
#define IS_ADDRESS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_ADDRESS_SANITIZED 1
#endif
#endif
#ifndef IS_ADDRESS_SANITIZED
#define IS_ADDRESS_SANITIZED 0
#endif

#if IS_ADDRESS_SANITIZED
#include <sanitizer/asan_interface.h>
#endif

static inline void poison(const void *memory, size_t bytes)
{
#if IS_ADDRESS_SANITIZED
    __asan_poison_memory_region(memory, bytes);
#else
    (void)memory, (void)bytes;
#endif
}

static inline void unpoison(const void *memory, size_t bytes)
{
#if IS_ADDRESS_SANITIZED
    __asan_unpoison_memory_region(memory, bytes);
#else
    (void)memory, (void)bytes;
#endif
}

static inline bool is_poisoned(const void *memory)
{
#if IS_ADDRESS_SANITIZED
    return __asan_address_is_poisoned(memory);
#else
    (void)memory;
    return false;
#endif
}
