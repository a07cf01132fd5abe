#include "profile/profile_history.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "base/clock.h"
#include "profile/folded.h"

#define TEXT_MAX (8u << 20) /* of one profile */

struct kept {
    uint64_t time_ns, duration_ns;
    uint8_t *bytes; /* owned, packed */
    size_t len, text_len;
};

struct profile_history {
    pthread_mutex_t lock;
    struct kept items[PROFILE_HISTORY_COUNT]; /* a ring, the oldest at `first` */
    uint32_t first, count;
    size_t bytes;
    uint64_t lost;
};

struct profile_history *profile_history_new(void)
{
    struct profile_history *h = calloc(1, sizeof(*h));
    if (h) pthread_mutex_init(&h->lock, NULL);
    return h;
}

static void drop_oldest(struct profile_history *h)
{
    struct kept *k = &h->items[h->first];
    h->bytes -= k->len;
    free(k->bytes);
    *k = (struct kept){ 0 };
    h->first = (h->first + 1) % PROFILE_HISTORY_COUNT;
    h->count--;
}

void profile_history_free(struct profile_history *h)
{
    if (!h) return;
    while (h->count) drop_oldest(h);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

/* keeping */

static bool pack(const char *text, size_t len, struct kept *out)
{
    uLongf packed = compressBound(len);
    uint8_t *bytes = malloc(packed);
    if (!bytes || compress2(bytes, &packed, (const Bytef *)text, len, 6) != Z_OK) {
        free(bytes);
        return false;
    }
    uint8_t *fitting = realloc(bytes, packed ? packed : 1);
    out->bytes = fitting ? fitting : bytes;
    out->len = packed;
    out->text_len = len;
    return true;
}

void profile_history_add(struct profile_history *h, const struct profile *p)
{
    char *text = NULL;
    size_t len = 0;
    struct kept k = { .time_ns = p->time_ns, .duration_ns = p->duration_ns };
    FILE *f = open_memstream(&text, &len);
    if (f) {
        folded_write(p, 1, f);
        if (fclose(f) != 0) len = TEXT_MAX + 1;
    }
    bool is_packed = text && len <= TEXT_MAX && pack(text, len, &k);
    free(text);
    pthread_mutex_lock(&h->lock);
    if (is_packed && k.len <= PROFILE_HISTORY_BYTES) {
        while (h->count == PROFILE_HISTORY_COUNT || h->bytes + k.len > PROFILE_HISTORY_BYTES) drop_oldest(h);
        h->items[(h->first + h->count++) % PROFILE_HISTORY_COUNT] = k;
        h->bytes += k.len;
    } else {
        h->lost++;
        free(k.bytes);
    }
    pthread_mutex_unlock(&h->lock);
}

/* loading */

static void add_line(struct profile *p, char *line)
{
    uint32_t stack[PROFILE_DEPTH_MAX], depth = 0;
    char *value = strrchr(line, ' ');
    if (!value) return;
    *value++ = 0;
    /* The outermost comes first; the profile wants the leaf first. */
    for (char *at = line; at && depth < PROFILE_DEPTH_MAX;) {
        char *end = strchr(at, ';');
        if (end) *end = 0;
        stack[depth++] = profile_add_name(p, slice_of(at));
        at = end ? end + 1 : NULL;
    }
    for (uint32_t i = 0; i < depth / 2; i++) {
        uint32_t other = stack[i];
        stack[i] = stack[depth - 1 - i];
        stack[depth - 1 - i] = other;
    }
    int64_t values[2] = { 1, strtoll(value, NULL, 10) };
    profile_add(p, stack, depth, NULL, 0, values);
}

static bool unpack(const struct kept *k, struct profile *p)
{
    uLongf len = k->text_len;
    char *text = malloc(k->text_len + 1), *save = NULL;
    bool is_whole = text && uncompress((Bytef *)text, &len, k->bytes, k->len) == Z_OK;
    if (is_whole) {
        text[len] = 0;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
            add_line(p, line);
        if (!p->time_ns || k->time_ns < p->time_ns) p->time_ns = k->time_ns;
        p->duration_ns += k->duration_ns;
    }
    free(text);
    return is_whole;
}

static void print_time(uint64_t ns, char out[16])
{
    time_t s = (time_t)(ns / NS_PER_S);
    struct tm tm;
    strftime(out, 16, "%H:%M:%S", localtime_r(&s, &tm));
}

static int say_none(const struct profile_history *h, struct err *err)
{
    char oldest[16], latest[16];
    if (!h->count) return err_set(err, "no profile has been kept yet; the first comes after ten seconds");
    print_time(h->items[h->first].time_ns, oldest);
    print_time(h->items[(h->first + h->count - 1) % PROFILE_HISTORY_COUNT].time_ns, latest);
    return err_set(err, "there is no profile of that time; there are those of %s to %s", oldest, latest);
}

int profile_history_load(struct profile_history *h, uint64_t from_ns, uint64_t to_ns, struct profile **out,
                         struct err *err)
{
    static const struct profile_type types[] = { { "samples", "count" }, { "cpu", "nanoseconds" } };
    struct profile *p = profile_new(types, 2);
    uint32_t found = 0;
    if (!p) return err_set(err, "out of memory for a profile");
    p->preset_type = 1;
    pthread_mutex_lock(&h->lock);
    for (uint32_t i = 0; i < h->count; i++) {
        const struct kept *k = &h->items[(h->first + i) % PROFILE_HISTORY_COUNT];
        if (k->time_ns >= from_ns && k->time_ns < to_ns) found += unpack(k, p);
    }
    int result = found ? 0 : say_none(h, err);
    pthread_mutex_unlock(&h->lock);
    if (result < 0)
        profile_free(p);
    else
        *out = p;
    return result;
}
