/* tls/memory.h: the memory of OpenSSL, which has keys and plaintext in it wherever it goes: an allocator of its own, in
 * mappings that core files are without. Places of one size lie together, and a mapping with no place in use goes back. Any
 * thread; each keeps a few free places of its own. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* To be called before anything of OpenSSL's is; once. Where AddressSanitizer looks for leaks it is the C library's memory: it would
 * see none otherwise. */
void tls_memory_install(void);
/* From now on core files have it: `core: {contents: full}`. */
void tls_memory_show(void);

/* What OpenSSL is given. */
void *tls_memory_get(size_t bytes);
void *tls_memory_resize(void *place, size_t bytes);
void tls_memory_put(void *place);
/* How often OpenSSL found no memory on the calling thread: what it says of a key or a certificate may be due to that. */
uint64_t tls_memory_failures(void);
/* Mapped at the moment. */
size_t tls_memory_mapped(void);
/* Gives what the calling thread keeps back to all. */
void tls_memory_trim(void);
