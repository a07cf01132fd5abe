#include "proxy/split_book.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/count.h"
#include "base/refs.h"
#include "base/text.h"

/* As struct split_counts. */
struct split_page {
    _Atomic uint64_t errors[SPLIT_BUCKETS];
    _Atomic uint64_t cells[HISTOGRAM_CELLS];
    _Atomic uint64_t rows[SPLIT_ROWS][SPLIT_BUCKETS];
} __attribute__((aligned(4096))); /* no line, and no page, is shared */

/* One text after the other, each with what came before as its seed. */
static uint64_t hash_text(uint64_t before, const char *text)
{
    return XXH3_64bits_withSeed(text, strlen(text), before);
}

static uint64_t dealing_of(const struct split_conf *conf)
{
    const struct split_variant_conf *variants = conf->variants.data;
    char memory[HTTP_TEMPLATE_TEXT_MAX + 1];
    struct text unit = text_over(memory, sizeof(memory));
    http_template_print(&conf->unit, &unit);
    uint64_t hash = hash_text(hash_text(0, text_cstr(&unit)), conf->salt);
    for (uint32_t i = 0; i < conf->variants.count; i++) {
        hash = hash_text(hash_text(hash, variants[i].name), variants[i].pool);
        hash = XXH3_64bits_withSeed(&variants[i].weight, sizeof(variants[i].weight), hash);
    }
    return hash;
}

static void *map_pages(size_t size)
{
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                       0);
    if (pages == MAP_FAILED) return NULL;
    madvise(pages, size, MADV_NOHUGEPAGE); /* one count must not cost 2 MiB */
    return pages;
}

int split_book_open(struct split_book **out, struct split_book *before, const struct split_conf *conf,
                    uint32_t worker_count, struct err *err)
{
    uint64_t dealing = dealing_of(conf);
    if (before && before->dealing == dealing && before->worker_count == worker_count) {
        atomic_fetch_add_explicit(&before->users, 1, memory_order_relaxed);
        *out = before;
        return 0;
    }
    struct split_book *book = calloc(1, sizeof(*book));
    size_t size = (size_t)worker_count * conf->variants.count * sizeof(struct split_page);
    struct split_page *pages = book ? map_pages(size) : NULL;
    if (!pages) {
        free(book);
        return err_set(err, "no memory to count split \"%s\": %s", conf->name, strerror(errno));
    }
    book->since_wall_ns = clock_wall_ns();
    book->dealing = dealing;
    book->variant_count = conf->variants.count;
    book->worker_count = worker_count;
    book->pages = pages;
    book->size = size;
    atomic_init(&book->users, 1);
    *out = book;
    return 0;
}

static size_t base_size(const struct split_book *book)
{
    return book->variant_count * sizeof(*book->base);
}

void split_book_close(struct split_book *book)
{
    if (!book || !refs_put(SPLIT, &book->users)) return;
    munmap(book->pages, book->size);
    if (book->base) munmap(book->base, base_size(book));
    free(book);
}

static struct split_page *page_of(const struct split_book *book, uint32_t worker, uint32_t variant)
{
    return &book->pages[(size_t)worker * book->variant_count + variant];
}

void split_book_count(struct split_book *book, uint32_t worker, uint32_t variant, uint32_t bucket,
                      bool is_error, uint64_t total_us)
{
    if (bug_if(SPLIT,
               worker >= book->worker_count || variant >= book->variant_count || bucket >= SPLIT_BUCKETS))
        return;
    struct split_page *page = page_of(book, worker, variant);
    uint32_t cell = histogram_index(total_us);
    count_own(&page->cells[cell]);
    count_own(&page->rows[cell / SPLIT_ROW_CELLS][bucket]);
    if (is_error) count_own(&page->errors[bucket]);
}

static uint64_t read_cell(const _Atomic uint64_t *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

/* Whether the row has any, by its cells, so that those are read alone which are in use. */
static bool read_cells(const struct split_page *page, uint32_t row, uint64_t *cells)
{
    uint64_t all = 0;
    for (uint32_t i = row * SPLIT_ROW_CELLS; i < (row + 1) * SPLIT_ROW_CELLS; i++) {
        uint64_t count = read_cell(&page->cells[i]);
        cells[i] += count;
        all += count;
    }
    return all;
}

static void read_all(const struct split_book *book, uint32_t variant, struct split_counts *counts)
{
    for (uint32_t worker = 0; worker < book->worker_count; worker++) {
        const struct split_page *page = page_of(book, worker, variant);
        for (uint32_t b = 0; b < SPLIT_BUCKETS; b++) counts->errors[b] += read_cell(&page->errors[b]);
        for (uint32_t row = 0; row < SPLIT_ROWS; row++) {
            if (!read_cells(page, row, counts->cells)) continue;
            for (uint32_t b = 0; b < SPLIT_BUCKETS; b++)
                counts->rows[row][b] += read_cell(&page->rows[row][b]);
        }
    }
}

/* Of the base no page is touched that has nothing. */
static bool subtract_cells(uint64_t *from, const uint64_t *what)
{
    uint64_t all = 0;
    for (uint32_t i = 0; i < SPLIT_ROW_CELLS; i++) {
        all |= what[i];
        from[i] -= what[i];
    }
    return all;
}

/* A request may be between its cell and its bucket while either is read: then there is one too many of neither. */
static uint64_t less(uint64_t count, uint64_t base)
{
    return count > base ? count - base : 0;
}

void split_book_read(const struct split_book *book, uint32_t variant, struct split_counts *counts)
{
    read_all(book, variant, counts);
    if (!book->base) return;
    const struct split_counts *base = &book->base[variant];
    for (uint32_t b = 0; b < SPLIT_BUCKETS; b++) counts->errors[b] = less(counts->errors[b], base->errors[b]);
    for (uint32_t row = 0; row < SPLIT_ROWS; row++) {
        uint32_t cell = row * SPLIT_ROW_CELLS;
        if (!subtract_cells(&counts->cells[cell], &base->cells[cell])) continue;
        for (uint32_t b = 0; b < SPLIT_BUCKETS; b++)
            counts->rows[row][b] = less(counts->rows[row][b], base->rows[row][b]);
    }
}

int split_book_begin(struct split_book *book, struct err *err)
{
    struct split_counts *base = map_pages(base_size(book));
    if (!base) return err_set(err, "no memory to count anew: %s", strerror(errno));
    for (uint32_t v = 0; v < book->variant_count; v++) read_all(book, v, &base[v]);
    if (book->base) munmap(book->base, base_size(book));
    book->base = base;
    book->since_wall_ns = clock_wall_ns();
    return 0;
}
