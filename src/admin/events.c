#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "admin/before_after.h"
#include "admin/call.h"
#include "admin/routes.h"
#include "base/event_list.h"
#include "base/number.h"
#include "conf/decode.h"
#include "net/loop.h"

#define LIMIT_PRESET 100u
#define ROUND_MS 200u
#define SILENT_ROUNDS 50u
#define ONE_MAX 4096u
#define MARKER_MAX 200

/* What happened, as a list or as a stream that goes on: server-sent events (WHATWG HTML, 9.2) with the events' ids, so that
 * who was away for a moment has what he missed. */

enum { AFTER, NAME, LIMIT };

const struct admin_query event_query[] = {
    [AFTER] = { "after", "integer", "Only what came after the event of this id." },
    [NAME] = { "name", "string", "Only of this name, like server_state or marker." },
    [LIMIT] = { "limit", "integer", "At most this many, the latest, 1 to 512; 100 if not given." },
    { 0 },
};

#define SAID(name, kind, text)           \
    {                                    \
        name, SHAPE_##kind, .help = text \
    }
static const struct shape_field event_fields[] = {
    SAID("id", COUNT, "Counted from 1 since weir began, without gaps."),
    SAID("time", STRING, "When (RFC 3339)."),
    SAID("at", NUMBER, "The same in seconds since 1970."),
    SAID("level", STRING, "info, warn or error, as in the log."),
    SAID("event", STRING,
         "What: server_state, server_changed, reloaded, certificate_changed, upgraded, log_rule, marker, …"),
    SAID("fields", TEXTS, "What the message in the log says beside that, by name."),
    { 0 },
};
const struct shape event_shape = { "Event", 0, event_fields };

struct marker_conf {
    const char *name;
};

static const struct conf_field marker_fields[] = {
    { "name", CONF_STRING(struct marker_conf, name), .min = 1, .max = MARKER_MAX,
      .flags = CONF_REQUIRED | CONF_LIVE, .help = "What happened, for people: \"deploy v42\"." },
    { 0 },
};
const struct conf_type marker_type = { .name = "marker",
                                       .size = sizeof(struct marker_conf),
                                       .fields = marker_fields };

/* printing */

/* -1: it is none. */
static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A byte as log_quote() writes it: \x1b. */
static bool is_hex(const char *p)
{
    return p[0] == '\\' && p[1] == 'x' && hex_digit(p[2]) >= 0 && hex_digit(p[3]) >= 0;
}

/* Takes one value off: a word, or a text in quotes with \", \\ and \x1b. */
static struct slice take_value(const char **at, char *memory, size_t size)
{
    struct text t = text_over(memory, size);
    const char *p = *at;
    bool is_quoted = *p == '"';
    if (is_quoted) p++;
    for (; *p && *p != (is_quoted ? '"' : ' '); p++) {
        if (is_quoted && is_hex(p)) {
            text_add_char(&t, (char)(hex_digit(p[2]) * 16 + hex_digit(p[3])));
            p += 3;
        } else {
            if (is_quoted && *p == '\\' && p[1]) p++;
            text_add_char(&t, *p);
        }
    }
    if (is_quoted && *p) p++;
    *at = p;
    return text_slice(&t);
}

static void print_fields(const char *text, struct json *j)
{
    char memory[EVENT_TEXT_MAX];
    json_key(j, "fields");
    json_object(j);
    while (*text) {
        const char *equals = strchr(text, '=');
        if (!equals) break;
        json_key_slice(j, (struct slice){ text, (size_t)(equals - text) });
        text = equals + 1;
        json_slice(j, take_value(&text, memory, sizeof(memory)));
        while (*text == ' ') text++;
    }
    json_object_end(j);
}

static void print_event(const struct event *e, struct json *j)
{
    static const char *const levels[] = { "debug", "info", "warn", "error" };
    char date[32];
    struct tm tm;
    uint64_t wall_ms = e->wall_ns / NS_PER_MS;
    time_t seconds = (time_t)(wall_ms / 1000);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));
    json_object(j);
    json_key(j, "id");
    json_u64(j, e->id);
    json_key(j, "time");
    json_printf(j, "%s.%03uZ", date, (unsigned)(wall_ms % 1000));
    json_key(j, "at");
    json_double(j, (double)wall_ms / 1000);
    json_key(j, "level");
    json_string(j, levels[e->level & 3]);
    json_key(j, "event");
    json_string(j, e->name);
    print_fields(e->text, j);
    json_object_end(j);
}

static bool is_wanted(const struct event *e, struct slice name)
{
    return !name.data || slice_equal(name, slice_of(e->name));
}

/* The list, newest first. */
static void print_list(struct slice name, uint64_t after, uint64_t limit, struct answer *out)
{
    struct json j;
    struct event e;
    uint64_t oldest = event_list_oldest();
    json_init(&j, ANSWER_MAX, true);
    json_object(&j);
    json_key(&j, "events");
    json_array(&j);
    for (uint64_t id = event_list_latest(); id && id >= oldest && id > after && limit; id--) {
        if (!event_list_get(id, &e) || !is_wanted(&e, name)) continue;
        print_event(&e, &j);
        limit--;
    }
    json_array_end(&j);
    json_object_end(&j);
    answer_json(out, 200, &j);
}

/* the stream */

struct event_stream {
    struct call_ticket ticket;
    struct loop *loop;
    struct timer timer;
    uint64_t seen; /* the latest that was sent, or left aside */
    uint32_t silent_rounds;
    char name[32]; /* "": any */
};

/* False: it was not taken, and comes again. */
static bool push_event(struct event_stream *s, const struct event *e)
{
    char memory[2 * ONE_MAX];
    struct text t = text_over(memory, sizeof(memory));
    struct json j;
    json_init(&j, ONE_MAX, false);
    print_event(e, &j);
    text_printf(&t, "id: %llu\nevent: %s\ndata: ", (unsigned long long)e->id, e->name);
    text_add(&t, j.data, j.is_failed ? 0 : j.len);
    TEXT_LITERAL(&t, "\n\n");
    bool is_taken = j.is_failed || t.is_cut || call_push(s->ticket, t.data, t.len);
    json_fini(&j);
    return is_taken;
}

static void on_round(struct timer *timer)
{
    struct event_stream *s = container_of(timer, struct event_stream, timer);
    struct event e;
    uint64_t latest = event_list_latest(), oldest = event_list_oldest();
    if (s->seen + 1 < oldest) s->seen = oldest - 1; /* the ids show how many are missing */
    for (; s->seen < latest; s->seen++) {
        bool is_there = event_list_get(s->seen + 1, &e);
        if (!is_there || (*s->name && strcmp(s->name, e.name) != 0)) continue;
        if (!push_event(s, &e)) break;
        s->silent_rounds = 0;
    }
    if (++s->silent_rounds % SILENT_ROUNDS == 0)
        call_push(s->ticket, ":\n\n", 3); /* whoever has gone is found out */
    loop_arm(s->loop, &s->timer, ROUND_MS);
}

static void on_gone(void *context)
{
    struct event_stream *s = context;
    loop_disarm(s->loop, &s->timer);
    free(s);
}

static void stream(const struct admin_request *rq, uint64_t after, struct answer *out)
{
    struct event_stream *s = calloc(1, sizeof(*s));
    if (!s) {
        answer_problem(out, 503, "There is no memory for the stream; try again.");
        return;
    }
    s->loop = rq->loop;
    s->seen = after;
    if (rq->query[NAME].data) snprintf(s->name, sizeof(s->name), "%.*s", SLICE_ARGS(rq->query[NAME]));
    timer_init(&s->timer, on_round);
    loop_arm(s->loop, &s->timer, 0);
    s->ticket = call_stream(rq, "text/event-stream", on_gone, s);
}

/* handlers */

static bool wants_stream(struct slice accept)
{
    struct slice element;
    while (slice_next_element(&accept, &element))
        if (slice_starts_with(element, SLICE("text/event-stream"))) return true;
    return false;
}

/* False: out says what is wrong. */
static bool read_query(const struct slice *q, uint64_t *after, uint64_t *limit, struct answer *out)
{
    if (q[AFTER].data && !number_u64(q[AFTER], after))
        answer_problem(out, 400, "after is \"%.32s\"; write the id of an event.", q[AFTER].data);
    else if (q[LIMIT].data && (!number_u64(q[LIMIT], limit) || *limit < 1 || *limit > EVENT_LIST_MAX))
        answer_problem(out, 400, "limit is \"%.32s\"; write a number from 1 to %u.", q[LIMIT].data,
                       EVENT_LIST_MAX);
    else if (q[NAME].data && !event_list_keeps(q[NAME].data))
        answer_problem(out, 400, "There is no event \"%.64s\"; docs/api.md has the names.", q[NAME].data);
    else
        return true;
    return false;
}

void events_stream(const struct admin_request *rq, struct answer *out)
{
    uint64_t after = 0, limit = 0, seen = 0;
    if (!read_query(rq->query, &after, &limit, out)) return;
    /* What a browser says when it comes again goes before what the address says. */
    if (rq->last_event_id.len && number_u64(rq->last_event_id, &seen))
        after = seen;
    else if (!rq->query[AFTER].data)
        after = event_list_latest();
    /* An id of the weir that was here before: all is news to whoever has it. */
    if (after > event_list_latest()) after = 0;
    stream(rq, after, out);
}

void events_list(const struct admin_request *rq, struct answer *out)
{
    uint64_t after = 0, limit = LIMIT_PRESET;
    if (wants_stream(rq->accept))
        events_stream(rq, out);
    else if (read_query(rq->query, &after, &limit, out))
        print_list(rq->query[NAME], after, limit, out);
}

void events_post(const struct admin_request *rq, struct answer *out)
{
    struct marker_conf conf = { 0 };
    struct conf_tree tree;
    struct conf_arena *arena = conf_arena_new();
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    int result = arena && faults ? conf_read_json(&tree, "request body", rq->body, faults) : -1;
    if (!arena || !faults) {
        answer_problem(out, 503, "There is no memory to read the body; try again.");
    } else {
        if (result == 0) result = conf_decode(&tree, &marker_type, &conf, arena, faults);
        if (result < 0) answer_faults(out, faults, &tree);
        conf_tree_free(&tree);
    }
    if (result == 0) {
        char quoted[4 * MARKER_MAX + 64];
        log_event(LOG_INFO, "marker", "name=%s%s", log_quote(conf.name, quoted, sizeof(quoted)), rq->mention);
        before_after_look(rq->before_after); /* what comes from now on is after it */
        print_list(SLICE("marker"), 0, 1, out);
    }
    free(faults);
    conf_arena_free(arena);
}
