#include "admin/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/secret_same.h"

static void end(struct session *one)
{
    explicit_bzero(one, sizeof(*one));
}

void sessions_end(struct sessions *s, uint64_t number)
{
    for (struct session *one = s->items; one < s->items + SESSIONS_MAX; one++)
        if (number && one->number == number) end(one);
}

static void end_old(struct sessions *s, uint64_t now_ms)
{
    for (struct session *one = s->items; one < s->items + SESSIONS_MAX; one++)
        if (*one->name &&
            (now_ms - one->used_ms > SESSION_IDLE_MS || now_ms - one->began_ms > SESSION_MAX_MS))
            end(one);
}

static struct session *make_room(struct sessions *s)
{
    struct session *oldest = s->items;
    for (struct session *one = s->items; one < s->items + SESSIONS_MAX; one++) {
        if (!*one->name) return one;
        if (one->used_turn < oldest->used_turn) oldest = one;
    }
    end(oldest);
    return oldest;
}

void sessions_begin(struct sessions *s, const char *name, uint64_t now_ms, char id[SESSION_ID_TEXT + 1])
{
    end_old(s, now_ms);
    struct session *one = make_room(s);
    /* Up to 256 bytes come whole, once the kernel has any (getrandom(2)). */
    if (getrandom(one->id, sizeof(one->id), 0) != (ssize_t)sizeof(one->id)) abort();
    snprintf(one->name, sizeof(one->name), "%s", name);
    one->began_ms = one->used_ms = now_ms;
    one->number = one->used_turn = ++s->turn;
    for (uint32_t i = 0; i < SESSION_ID_BYTES; i++) snprintf(id + 2 * i, 3, "%02x", one->id[i]);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* False: it is no id. */
static bool read_id(struct slice text, unsigned char id[SESSION_ID_BYTES])
{
    if (text.len != SESSION_ID_TEXT) return false;
    for (uint32_t i = 0; i < SESSION_ID_BYTES; i++) {
        int high = hex_digit(text.data[2 * i]), low = hex_digit(text.data[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        id[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

static bool is_same(const unsigned char *a, const unsigned char *b)
{
    return secret_is_same((struct slice){ (const char *)a, SESSION_ID_BYTES },
                          (struct slice){ (const char *)b, SESSION_ID_BYTES });
}

struct session *sessions_find(struct sessions *s, struct slice id, uint64_t now_ms)
{
    unsigned char wanted[SESSION_ID_BYTES];
    struct session *found = NULL;
    end_old(s, now_ms);
    if (!read_id(id, wanted)) return NULL;
    for (struct session *one = s->items; one < s->items + SESSIONS_MAX; one++)
        if (is_same(one->id, wanted) && *one->name) found = one;
    if (!found) return NULL;
    found->used_ms = now_ms;
    found->used_turn = ++s->turn;
    return found;
}

void sessions_end_of(struct sessions *s, const char *name)
{
    for (struct session *one = s->items; one < s->items + SESSIONS_MAX; one++)
        if (*one->name && strcmp(one->name, name) == 0) end(one);
}

uint32_t sessions_count(struct sessions *s, uint64_t now_ms)
{
    uint32_t count = 0;
    end_old(s, now_ms);
    for (uint32_t i = 0; i < SESSIONS_MAX; i++) count += *s->items[i].name != 0;
    return count;
}
