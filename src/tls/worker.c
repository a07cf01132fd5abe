#define XXH_INLINE_ALL
#include "tls/worker.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

#include "tls/conn.h"

#define MAPPED_BYTES (TLS_IN_BYTES + TLS_OUT_BYTES + TLS_GATHER_BYTES)

int tls_worker_init(struct tls_worker *w, struct loop *l, struct tls_tickets *tickets, struct err *err)
{
    *w = (struct tls_worker){ .loop = l, .tickets = tickets };
    char *memory = mmap(NULL, MAPPED_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return err_set(err, "cannot map buffers for TLS: %s", strerror(errno));
    if (!l->blocks.budget->is_dumped) madvise(memory, MAPPED_BYTES, MADV_DONTDUMP);
    w->in = memory;
    w->out = memory + TLS_IN_BYTES;
    w->gather = w->out + TLS_OUT_BYTES;
    w->method = tls_conn_bio_method();
    if (!w->method) {
        munmap(memory, MAPPED_BYTES);
        return err_set(err, "out of memory for TLS");
    }
    slab_init(&w->conns, &l->blocks, tls_conn_size());
    slab_init(&w->openings, &l->blocks, tls_opening_size());
    tls_sessions_init(&w->sessions, l);
    w->seed = rng_next(&l->rng);
    return 0;
}

uint64_t tls_worker_hash(const struct tls_worker *w, const char *name)
{
    return XXH3_64bits_withSeed(name, strlen(name), w->seed) | 1;
}

void tls_worker_fini(struct tls_worker *w)
{
    if (!w->in) return;
    tls_sessions_fini(&w->sessions);
    slab_fini(&w->openings);
    slab_fini(&w->conns);
    BIO_meth_free(w->method);
    munmap(w->in, MAPPED_BYTES);
    w->in = NULL;
}
