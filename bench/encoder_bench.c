/* What the encoders of responses do: for each algorithm and level how small a file becomes and how fast, in pieces as they come
 * from a server: bench-encoder FILE. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "coding/encoder.h"

#define PIECE (16u << 10)
#define TIMES 5

static char *text;
static size_t text_len;

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    text = malloc(64u << 20);
    if (!f || !text) return -1;
    text_len = fread(text, 1, 64u << 20, f);
    fclose(f);
    return text_len ? 0 : -1;
}

/* Bytes made of the first `len` of the text. */
static size_t encode(struct encoder *e, size_t len)
{
    static char out[PIECE];
    size_t all = 0;
    for (size_t at = 0; at < len; at += PIECE) {
        bool is_last = at + PIECE >= len;
        struct slice in = { text + at, is_last ? len - at : PIECE };
        enum encoder_result result;
        do {
            size_t made = 0;
            result = encoder_run(e, is_last ? ENCODER_END : ENCODER_GO_ON, &in, out, sizeof(out), &made);
            all += made;
        } while (result == ENCODER_FULL);
        if (result == ENCODER_FAILED) exit(1);
    }
    return all;
}

static struct encoder *encoder_of(const struct encoder_shape *shape)
{
    struct encoder *e = encoder_kind_of((enum coding)shape->coding)->make(shape);
    if (!e) exit(1);
    e->kind = encoder_kind_of((enum coding)shape->coding);
    e->shape = *shape;
    return e;
}

/* The best of a few rounds; a new stream for each response of that length. */
static void measure(const struct encoder_shape *shape, size_t len, size_t rounds)
{
    double best = 1e9;
    size_t made = 0, peak = 0;
    for (unsigned i = 0; i < TIMES; i++) {
        struct encoder *e = NULL;
        double begun = cpu_seconds();
        for (size_t k = 0; k < rounds; k++) {
            if (e && !(e->kind->reset && e->kind->reset(e))) {
                e->kind->free(e);
                e = NULL;
            }
            if (!e) e = encoder_of(shape);
            made = encode(e, len);
        }
        double took = cpu_seconds() - begun;
        if (took < best) best = took;
        peak = encoder_taken_max(e);
        e->kind->free(e);
    }
    printf("%-5s %u %9zu bytes %6.1f %% %7.1f MB/s %8zu KiB\n", coding_name((enum coding)shape->coding),
           shape->level, len, 100.0 * (double)made / (double)len, (double)(len * rounds) / best / 1e6,
           peak >> 10);
}

int main(int argc, char **argv)
{
    if (argc != 2 || read_file(argv[1]) < 0) {
        fprintf(stderr, "usage: bench-encoder FILE\n");
        return 64;
    }
    for (unsigned c = 0; c < CODINGS_MADE; c++)
        for (uint8_t level = 1; level <= encoder_kind_of((enum coding)c)->level_max; level++) {
            struct encoder_shape shape = { (uint8_t)c, level, ENCODER_LARGE };
            measure(&shape, text_len, 1);
            shape.size = ENCODER_SMALL;
            if (text_len > ENCODER_SMALL_MAX) measure(&shape, ENCODER_SMALL_MAX, 50);
        }
    free(text);
    return 0;
}
