#define XXH_INLINE_ALL
#include <xxhash.h>

#include "logs/fault_join.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "logs/entry_value.h"

#define NOBODY UINT32_MAX
/* Lines of one key are kept by spans of time, so that a look never passes over those of another hour. */
#define SPAN_S 64u
#define LOOK_BACK_MAX_S (14 * SPAN_S)
#define STEPS_MAX 64u
#define SLACK_S 2u
/* Of a request's target so much counts: nginx cuts the lines of its error log. */
#define TARGET_MAX 256u
/* Of the lines themselves so much is kept for each on the average. */
#define LINE_BYTES 192u
#define TEXT_BYTES_MIN (64u << 10)

struct chain {
    uint32_t first, last;
};

struct fault_join {
    void (*on_left)(void *context, const struct fault_waiting *w, struct slice text);
    void *context;
    struct fault_waiting *lines; /* a ring */
    bool *is_waiting;
    struct chain *chains; /* by key and span, oldest first */
    uint32_t capacity, mask, next, waiting;
    uint32_t oldest; /* all that wait lie from there to `next` */
    size_t text_bytes;
    uint64_t text_end, displaced; /* text_end: bytes ever written */
    char *text;                   /* a ring */
};

int fault_join_new(struct fault_join **out, uint32_t lines,
                   void (*on_left)(void *context, const struct fault_waiting *w, struct slice text),
                   void *context, struct err *err)
{
    struct fault_join *j = calloc(1, sizeof(*j));
    uint32_t chains = 1;
    assert(lines);
    while (chains < lines) chains *= 2;
    if (j) {
        j->on_left = on_left;
        j->context = context;
        j->capacity = lines;
        j->mask = chains - 1;
        j->text_bytes = (size_t)lines * LINE_BYTES;
        if (j->text_bytes < TEXT_BYTES_MIN) j->text_bytes = TEXT_BYTES_MIN;
        j->lines = calloc((size_t)lines + 1, sizeof(*j->lines));
        j->is_waiting = calloc((size_t)lines + 1, sizeof(*j->is_waiting));
        j->chains = malloc(chains * sizeof(*j->chains));
        j->text = malloc(j->text_bytes);
    }
    if (!j || !j->lines || !j->is_waiting || !j->chains || !j->text) {
        fault_join_free(j);
        return err_set(err, "out of memory for the lines of an error log");
    }
    memset(j->chains, 0xff, chains * sizeof(*j->chains)); /* NOBODY */
    *out = j;
    return 0;
}

void fault_join_free(struct fault_join *j)
{
    if (!j) return;
    free(j->lines);
    free(j->is_waiting);
    free(j->chains);
    free(j->text);
    free(j);
}

/* keys */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int hex_byte(const char *p)
{
    int high = hex_digit(p[0]), low = hex_digit(p[1]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* As it was before it was escaped for the access log: \xHH, \u00HH, and a backslash before what stands for itself. */
static size_t unescape(struct slice s, char out[TARGET_MAX])
{
    size_t len = 0;
    for (size_t i = 0; i < s.len && len < TARGET_MAX; i++) {
        const char *p = s.data + i;
        size_t rest = s.len - i;
        int byte = -1;
        if (*p == '\\' && rest > 3 && p[1] == 'x' && (byte = hex_byte(p + 2)) >= 0)
            i += 3;
        else if (*p == '\\' && rest > 5 && p[1] == 'u' && (byte = hex_byte(p + 4)) >= 0)
            i += 5;
        else if (*p == '\\' && rest > 1 && (p[1] == '"' || p[1] == '\\' || p[1] == '/'))
            byte = (unsigned char)s.data[++i];
        out[len++] = byte >= 0 ? (char)byte : *p;
    }
    return len;
}

static size_t cut(struct slice s, char out[TARGET_MAX])
{
    size_t len = s.len < TARGET_MAX ? s.len : TARGET_MAX;
    if (len) memcpy(out, s.data, len);
    return len;
}

static uint64_t key_of(struct slice method, const char *target, size_t len)
{
    uint64_t seed = method.len ? XXH3_64bits(method.data, method.len) : 0;
    return XXH3_64bits_withSeed(target, len, seed);
}

static uint32_t stands_for(const void *data, size_t len)
{
    uint32_t hash = (uint32_t)XXH3_64bits(data, len);
    return hash ? hash : 1;
}

static uint64_t key_of_line(const struct error_line *line)
{
    char target[TARGET_MAX];
    struct slice method = SLICE_NONE, path = line->request, protocol;
    if (!entry_request(line->request, &method, &path, &protocol)) path = line->request;
    return key_of(method, target, cut(path, target));
}

static uint64_t key_of_record(const struct log_entry *e)
{
    char target[TARGET_MAX];
    struct slice path = e->values[LOG_TARGET];
    if (!e->method.len) path = e->values[LOG_REQUEST];
    if (slice_equal(path, SLICE("-"))) path = SLICE_NONE;
    return key_of(e->method, target, unescape(path, target));
}

static uint32_t client_of(const struct ip *ip)
{
    static const struct ip none;
    return memcmp(ip, &none, sizeof(*ip)) == 0 ? 0 : stands_for(ip->bytes, sizeof(ip->bytes));
}

static struct chain *chain_of(struct fault_join *j, uint64_t key, uint64_t span)
{
    return &j->chains[(key ^ span * 0x9e3779b97f4a7c15u) & j->mask];
}

/* the ring */

/* `before`: in its chain; NOBODY: it is the first. */
static void unlink_line(struct fault_join *j, struct chain *chain, uint32_t before, uint32_t at)
{
    uint32_t next = j->lines[at].next;
    if (before == NOBODY)
        chain->first = next;
    else
        j->lines[before].next = next;
    if (chain->last == at) chain->last = before;
    j->is_waiting[at] = false;
    j->waiting--;
}

static struct chain *chain_of_line(struct fault_join *j, const struct fault_waiting *w)
{
    return chain_of(j, w->key, w->local_s / SPAN_S);
}

static void leave(struct fault_join *j, uint32_t at)
{
    const struct fault_waiting w = j->lines[at];
    struct chain *chain = chain_of_line(j, &w);
    /* Chains are in the order of the ring, so the oldest of all is the first of its chain. */
    unlink_line(j, chain, NOBODY, at);
    j->on_left(j->context, &w, fault_join_text(j, &w));
}

static void keep_text(struct fault_join *j, struct fault_waiting *w, struct slice text)
{
    uint64_t room = j->text_bytes - j->text_end % j->text_bytes;
    w->text_len = (uint32_t)(text.len < ERROR_LINE_MAX ? text.len : ERROR_LINE_MAX);
    if (room < w->text_len) j->text_end += room; /* a line lies in one piece */
    w->text_at = j->text_end;
    if (w->text_len) memcpy(j->text + w->text_at % j->text_bytes, text.data, w->text_len);
    j->text_end += w->text_len;
}

struct slice fault_join_text(const struct fault_join *j, const struct fault_waiting *w)
{
    if (j->text_end - w->text_at > j->text_bytes) return SLICE_NONE;
    return (struct slice){ j->text + w->text_at % j->text_bytes, w->text_len };
}

void fault_join_add(struct fault_join *j, const struct error_line *line, enum fault_kind kind,
                    bool is_asked_for, struct slice text)
{
    struct ip ip;
    uint32_t at = j->next;
    if (j->is_waiting[at]) {
        leave(j, at);
        j->displaced++;
    }
    if (!j->waiting)
        j->oldest = at;
    else if (j->oldest == at) /* a lap ahead of the others */
        j->oldest = at + 1 == j->capacity ? 0 : at + 1;
    struct slice server = error_line_server(line->upstream);
    struct fault_waiting *w = &j->lines[at];
    *w = (struct fault_waiting){ .key = key_of_line(line),
                                 .connection = line->connection,
                                 .local_s = line->local_s,
                                 .next = NOBODY,
                                 .client = entry_ip(line->client, &ip) ? client_of(&ip) : 0,
                                 .server = server.len ? stands_for(server.data, server.len) : 0,
                                 .kind = kind,
                                 .is_asked_for = is_asked_for };
    keep_text(j, w, text);
    struct chain *chain = chain_of_line(j, w);
    if (chain->last == NOBODY)
        chain->first = at;
    else
        j->lines[chain->last].next = at;
    chain->last = at;
    j->is_waiting[at] = true;
    j->waiting++;
    j->next = at + 1 == j->capacity ? 0 : at + 1;
}

void fault_join_leave_before(struct fault_join *j, uint64_t local_s)
{
    for (; j->waiting; j->oldest = j->oldest + 1 == j->capacity ? 0 : j->oldest + 1) {
        if (!j->is_waiting[j->oldest]) continue;
        if (j->lines[j->oldest].local_s >= local_s) return;
        leave(j, j->oldest);
    }
}

void fault_join_end(struct fault_join *j)
{
    fault_join_leave_before(j, UINT64_MAX);
}

uint64_t fault_join_displaced(const struct fault_join *j)
{
    return j->displaced;
}

uint32_t fault_join_count(const struct fault_join *j)
{
    return j->waiting;
}

/* looking */

struct look {
    uint64_t key, from_s, to_s, connection;
    uint32_t client, try_count, steps;
    uint32_t taken, servers; /* servers: of the lines taken, how many name one */
    struct fault_waiting *out;
};

static bool is_of_request(const struct look *l, const struct fault_waiting *w)
{
    if (w->key != l->key || w->local_s < l->from_s || w->local_s > l->to_s) return false;
    if (w->client && l->client && w->client != l->client) return false;
    if (l->connection && w->connection != l->connection) return false;
    return !l->taken || w->connection == l->out[0].connection;
}

/* The same request may have come again on its connection: each attempt has one line, and so has each thing of nginx's own. */
static bool is_next_request(const struct look *l, const struct fault_waiting *w)
{
    if (w->server && l->try_count && l->servers >= l->try_count) return true;
    for (uint32_t i = 0; i < l->taken; i++) {
        bool is_same_server = w->server == l->out[i].server;
        if (is_same_server && w->kind == l->out[i].kind && !(w->server && l->try_count)) return true;
    }
    return false;
}

/* False: enough. */
static bool look_in(struct fault_join *j, struct look *l, struct chain *chain)
{
    uint32_t before = NOBODY, at = chain->first;
    while (at != NOBODY && l->steps++ < STEPS_MAX && l->taken < FAULT_JOIN_TAKEN_MAX) {
        const struct fault_waiting *w = &j->lines[at];
        uint32_t next = w->next;
        if (!is_of_request(l, w)) {
            before = at;
        } else if (is_next_request(l, w)) {
            return false;
        } else {
            l->servers += w->server != 0;
            l->out[l->taken++] = *w;
            unlink_line(j, chain, before, at);
        }
        at = next;
    }
    return l->taken < FAULT_JOIN_TAKEN_MAX;
}

uint32_t fault_join_take(struct fault_join *j, const struct log_entry *e,
                         const struct fault_record_time *when, uint32_t try_count,
                         struct fault_waiting out[FAULT_JOIN_TAKEN_MAX])
{
    if (!j->waiting) return 0;
    uint64_t back_s = when->took_s == UINT64_MAX ? SPAN_S : when->took_s;
    if (back_s > LOOK_BACK_MAX_S) back_s = LOOK_BACK_MAX_S;
    struct look l = { .key = key_of_record(e),
                      .to_s = when->local_s + SLACK_S,
                      .connection = when->connection,
                      .client = client_of(&e->client),
                      .try_count = try_count,
                      .out = out };
    l.from_s = when->local_s > back_s + SLACK_S ? when->local_s - back_s - SLACK_S : 0;
    for (uint64_t span = l.from_s / SPAN_S; span <= l.to_s / SPAN_S; span++)
        if (!look_in(j, &l, chain_of(j, l.key, span))) break;
    return l.taken;
}
