/* Answers to a health check over gRPC: whatever comes and however it is cut in two, what is made of it is the same and has words, and
 * everything is given back. The first byte says where it is cut. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "health/grpc_health.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct budget budget = { .limit = 64 << 20 };
static struct loop loop;

static void write_all(const struct grpc_health *g)
{
    static char bytes[4096];
    const struct grpc_health_question q = { .authority = SLICE("10.0.0.1:80"), .service = "a.B" };
    struct text out = text_over(bytes, sizeof(bytes));
    grpc_health_write(g, &q, &out);
    if (out.len >= sizeof(bytes)) abort();
}

static enum grpc_health_step feed(const char *bytes, size_t size, size_t cut, char words[512])
{
    struct grpc_health *g = grpc_health_new(&loop);
    if (!g) abort();
    enum grpc_health_step step = grpc_health_feed(g, (struct slice){ bytes, cut });
    write_all(g);
    if (step == GRPC_HEALTH_GOES_ON) step = grpc_health_feed(g, (struct slice){ bytes + cut, size - cut });
    write_all(g);
    strncpy(words, grpc_health_words(g), 511);
    if ((step == GRPC_HEALTH_BAD) != (*words != 0)) abort();
    grpc_health_free(g);
    return step;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char whole[512], cut[512];
    struct err err;
    if (!loop.scratch && loop_init(&loop, &budget, &err) < 0) abort();
    if (!size) return 0;
    char *copy = malloc(size); /* as long as it is: what reads on is seen */
    if (!copy) return 0;
    memcpy(copy, data + 1, size - 1);
    enum grpc_health_step step = feed(copy, size - 1, size - 1, whole);
    if (feed(copy, size - 1, data[0] % size, cut) != step || strcmp(whole, cut) != 0) abort();
    free(copy);
    return 0;
}
