/* Of the allocations that a thread makes from some moment on, one fails. For the one file of a program that includes this: malloc()
 * and its like are defined here, before the sanitizer's or the C library's. OpenSSL's own may be left out of it. */
#pragma once

#include <dlfcn.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static void *(*real_malloc)(size_t size);
static void *(*real_calloc)(size_t count, size_t size);
static void *(*real_realloc)(void *old, size_t size);
static void (*real_free)(void *memory);

static _Thread_local struct {
    uint64_t at, count; /* the n-th fails; 0: none does */
    bool is_paused, has_failed;
} shortage;

/* dlsym() of a name that is there does not allocate. */
static void shortage_find_real(void)
{
    if (real_free) return;
    real_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    real_calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
    real_realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
    real_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
}

static bool shortage_is_now(void)
{
    shortage_find_real();
    if (!shortage.at || shortage.is_paused || ++shortage.count != shortage.at) return false;
    shortage.has_failed = true;
    return true;
}

void *malloc(size_t size)
{
    return shortage_is_now() ? NULL : real_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return shortage_is_now() ? NULL : real_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return shortage_is_now() ? NULL : real_realloc(old, size);
}

char *strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

static inline void shortage_begin(uint64_t at)
{
    shortage.count = 0;
    shortage.has_failed = false;
    shortage.at = at;
}

/* Whether one has failed. */
static inline bool shortage_end(void)
{
    shortage.at = 0;
    return shortage.has_failed;
}

static inline void *shortage_openssl_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    shortage_find_real();
    return real_malloc(size);
}

static inline void *shortage_openssl_realloc(void *old, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    shortage_find_real();
    return real_realloc(old, size);
}

static inline void shortage_openssl_free(void *memory, const char *file, int line)
{
    (void)file, (void)line;
    shortage_find_real();
    real_free(memory);
}

/* OpenSSL always has memory; before it has asked for any. */
static inline void shortage_spare_openssl(void)
{
    CRYPTO_set_mem_functions(shortage_openssl_malloc, shortage_openssl_realloc, shortage_openssl_free);
}
