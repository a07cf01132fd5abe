#include "logs/tap.h"

#include <stdlib.h>

#include "base/json.h"

#define RECORD_MAX (16u << 10)

struct tap *tap_new(uint64_t id, struct filter *filter)
{
    struct tap *t = calloc(1, sizeof(*t));
    if (!t) {
        filter_free(filter);
        return NULL;
    }
    list_init(&t->link);
    t->id = id;
    t->filter = filter;
    return t;
}

void tap_free(struct tap *t)
{
    if (!t) return;
    filter_free(t->filter);
    free(t->data);
    free(t);
}

void tap_say(struct tap *t, const char *event, struct slice data)
{
    struct text text;
    size_t needed = strlen(event) + data.len + 32;
    if (!t->data && !(t->data = malloc(TAP_BYTES_MAX))) return;
    if (needed > TAP_BYTES_MAX - t->len) {
        t->missed++;
        return;
    }
    text = text_over(t->data + t->len, TAP_BYTES_MAX - t->len);
    text_printf(&text, "event: %s\ndata: ", event);
    text_add_slice(&text, data);
    TEXT_LITERAL(&text, "\n\n");
    t->len += text.len;
}

static void add_text_member(struct json *j, const char *key, struct slice value)
{
    if (!value.data) return;
    if (value.len > 1024) value.len = 1024;
    json_key(j, key);
    json_slice(j, value);
}

static void add_ms(struct json *j, const char *key, uint64_t us)
{
    if (us == UINT64_MAX) return;
    json_key(j, key);
    json_double(j, (double)us / 1000);
}

static void print_record(const struct log_entry *e, struct json *j)
{
    static const struct ip none;
    char printed[INET6_ADDRSTRLEN];
    json_object(j);
    if (e->time_s) {
        json_key(j, "time");
        json_u64(j, e->time_s);
    }
    if (memcmp(&e->client, &none, sizeof(none)) != 0)
        add_text_member(j, "client", slice_of(ip_print(&e->client, printed)));
    add_text_member(j, "method", e->method);
    add_text_member(j, "host", e->values[LOG_HOST]);
    add_text_member(j, "target", e->values[LOG_TARGET].data ? e->values[LOG_TARGET] : e->path);
    if (e->is_binary) add_text_member(j, "request", e->values[LOG_REQUEST]);
    json_key(j, "status");
    json_u64(j, e->status);
    json_key(j, "bytes");
    json_u64(j, e->bytes);
    add_ms(j, "request_ms", e->request_us);
    add_ms(j, "upstream_ms", e->upstream_us);
    add_text_member(j, "upstream", e->values[LOG_UPSTREAM]);
    add_text_member(j, "variant", e->values[LOG_VARIANT]);
    add_text_member(j, "agent", e->values[LOG_AGENT]);
    add_text_member(j, "referer", e->values[LOG_REFERER]);
    json_object_end(j);
}

void tap_offer(struct tap *t, const struct log_entry *e)
{
    struct json j;
    if (t->filter && !filter_takes(t->filter, e)) return;
    if (t->taken >= TAP_RECORDS_MAX) {
        t->missed++;
        return;
    }
    t->taken++;
    json_init(&j, RECORD_MAX, false);
    print_record(e, &j);
    if (j.is_failed)
        t->missed++;
    else
        tap_say(t, "record", (struct slice){ j.data, j.len });
    json_fini(&j);
}

char *tap_fetch(struct tap *t, size_t *len)
{
    char *data = t->len ? t->data : NULL;
    *len = t->len;
    if (!data) return NULL;
    t->data = NULL;
    t->len = 0;
    return data;
}
