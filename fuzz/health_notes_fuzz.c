/* What one process tells the next of its servers: whatever it says, a server that begins with it is within bounds, and goes on. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/health_notes.h"
#include "pool/pool.h"
#include "pool/server.h"

#define NOW_MS 1000000u
#define EJECT_MAX_MS 30000u

static void on_note(void *context, const struct health_note *n)
{
    static struct server server;
    static struct pool pool;
    uint32_t *told = context;
    (*told)++;
    if (!n->pool || !n->server || !n->address || strnlen(n->past.words, SERVER_WORDS_MAX) == SERVER_WORDS_MAX)
        abort();
    pool = (struct pool){ .name = "web" };
    server = (struct server){ .name = "one", .pool = &pool, .warmup_ms = *told % 2 ? 10000 : 0 };
    server.ejection = (struct ejection_conf){
        .is_enabled = *told % 3 != 0, .connect_failures = 3, .min_ms = 1000, .max_ms = EJECT_MAX_MS
    };
    if (!server_past_resume(&server, &n->past, *told % 5 == 0, NOW_MS)) abort();
    if (server.state.since_ms > NOW_MS || server_warm_parts(&server) > SERVER_WARM_WHOLE) abort();
    if (server.state.ejected_until_ms > NOW_MS + EJECT_MAX_MS || server.state.eject_ms > EJECT_MAX_MS)
        abort();
    for (unsigned i = 0; i < 3; i++) (void)server_report(&server, SERVER_CONNECT_FAILED, NOW_MS + i);
    (void)server_readmit(&server, NOW_MS + EJECT_MAX_MS + 3);
    (void)server_report(&server, SERVER_CONNECTED, NOW_MS + EJECT_MAX_MS + 4);
    if (atomic_load(&server.health) == SERVER_EJECTED && server.ejection.is_enabled) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = { "" };
    uint32_t told = 0, left_out = 0;
    char *copy = malloc(size); /* as long as it is: what reads on is seen */
    if (size && !copy) return 0;
    if (size) memcpy(copy, data, size);
    if (health_notes_read((struct slice){ copy, size }, on_note, &told, &left_out, &err) < 0 && !err.text[0])
        abort();
    free(copy);
    return 0;
}
