/* proxy/split_book.h: what is counted of a split's requests for its report (route/split_report.h): from one dealing of its
 * units to the next. A change of weights makes users change variants and requests that were counted under other weights
 * look like a mismatch; so it begins another book, and a reload that changes nothing of the dealing goes on with the same.
 * What a guard does to the weights is the book's, too: it stays as long as the configuration deals as it did.
 *
 * Each worker has pages of its own that only it writes, with plain loads and stores; anyone may read. Pages that are not
 * counted on cost no memory: of a variant and worker some 26 KB an octave of durations, 700 KB at most. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "route/split_guard.h"

struct split_page;

struct split_book {
    atomic_uint users;
    uint64_t since_wall_ns;
    uint64_t dealing; /* a hash of what decides who is in which variant, and of what the variants are */
    uint32_t variant_count, worker_count;
    struct split_page *pages;  /* worker by worker, variant by variant */
    size_t size;               /* of them, in bytes */
    struct split_counts *base; /* of each variant what was counted before split_book_begin(); NULL: nothing */
    struct split_guard guard;  /* zeroed: none, or it has not begun */
};

/* The book of a split as `conf` has it: `before`, one user more, if units are dealt as they were when it was begun; another,
 * of now, if not, or if `before` is NULL. Control thread. */
MUST_CHECK int split_book_open(struct split_book **out, struct split_book *before,
                               const struct split_conf *conf, uint32_t worker_count, struct err *err);
/* The last user's ends it: no worker may count in it any more. NULL is fine. */
void split_book_close(struct split_book *book);

/* The worker's own thread. */
void split_book_count(struct split_book *book, uint32_t worker, uint32_t variant, uint32_t bucket,
                      bool is_error, uint64_t total_us);
/* From now on counts begin anew. -1: no memory; they go on. Control thread. */
MUST_CHECK int split_book_begin(struct split_book *book, struct err *err);
/* Adds all workers' counts to `counts`, which are zeroed. Control thread. */
void split_book_read(const struct split_book *book, uint32_t variant, struct split_counts *counts);
