#include "tls/worker.h"

#include <errno.h>
#include <sys/mman.h>

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
    return 0;
}

void tls_worker_fini(struct tls_worker *w)
{
    if (!w->in) return;
    slab_fini(&w->conns);
    BIO_meth_free(w->method);
    munmap(w->in, MAPPED_BYTES);
    w->in = NULL;
}
