#include "control/health_notes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/number.h"
#include "base/write_all.h"
#include "conf/node.h"

#define HEALTHS (SERVER_DOWN + 1u)
/* Of the nodes that a document may have, those that a server with all that there is to say takes. */
#define SERVERS_MAX (CONF_NODES_MAX / 24u)

static const struct {
    const char *name;
    size_t offset;
} numbers[] = {
#define X(member) { #member, offsetof(struct server_past, member) },
    SERVER_PAST_NUMBERS(X)
#undef X
};
#define NUMBERS (sizeof(numbers) / sizeof(*numbers))

static uint64_t *number_of(struct server_past *past, unsigned i)
{
    return (uint64_t *)(void *)((char *)past + numbers[i].offset);
}

/* writing */

static void write_server(const struct server *s, struct server_past *past, struct json *j)
{
    json_object(j);
    json_key(j, "name");
    json_string(j, s->name);
    json_key(j, "address");
    json_string(j, s->address_text);
    json_key(j, "health");
    json_string(j, server_health_name(past->health));
    json_key(j, "reason");
    json_string(j, server_health_reason_name(past->reason));
    for (unsigned i = 0; i < NUMBERS; i++) {
        if (!*number_of(past, i)) continue;
        json_key(j, numbers[i].name);
        json_u64(j, *number_of(past, i));
    }
    if (*past->words) {
        json_key(j, "words");
        json_string(j, past->words);
    }
    json_object_end(j);
}

static void write_pool(const struct pool *p, uint64_t now_ms, uint32_t *count, struct json *j)
{
    json_object(j);
    json_key(j, "name");
    json_string(j, p->name);
    json_key(j, "servers");
    json_array(j);
    for (uint32_t i = 0; i < p->roster->count && *count < SERVERS_MAX; i++) {
        struct server_past past;
        if (!server_past_of(p->roster->places[i].server, now_ms, &past)) continue;
        write_server(p->roster->places[i].server, &past, j);
        (*count)++;
    }
    json_array_end(j);
    json_object_end(j);
}

static char *write_document(const struct proxy *p, uint64_t now_ms, size_t *len)
{
    struct json j;
    uint32_t count = 0;
    json_init(&j, HEALTH_NOTES_MAX, false);
    json_array(&j);
    for (uint32_t i = 0; i < p->pool_count; i++) write_pool(p->pools[i], now_ms, &count, &j);
    json_array_end(&j);
    char *text = json_take(&j, len);
    if (text && count) return text;
    free(text);
    return NULL;
}

int health_notes_write(const struct proxy *p, uint64_t now_ms)
{
    size_t len = 0;
    char *text = write_document(p, now_ms, &len);
    int fd = text ? memfd_create("weir-health", MFD_CLOEXEC) : -1;
    if (fd >= 0 && (write_all(fd, (struct slice){ text, len }) < 0 || lseek(fd, 0, SEEK_SET) < 0)) {
        close(fd);
        fd = -1;
    }
    free(text);
    return fd;
}

/* reading */

static const char *text_of(const struct conf_node *map, const char *key)
{
    const struct conf_node *n = map->kind == CONF_NODE_MAP ? conf_node_get(map, key) : NULL;
    return n && n->kind == CONF_NODE_SCALAR && n->is_quoted ? n->text.data : NULL;
}

static bool find_name(const char *name, const char *(*name_of)(unsigned), unsigned count, unsigned *out)
{
    for (*out = 0; name && *out < count; (*out)++)
        if (strcmp(name_of(*out), name) == 0) return true;
    return false;
}

static const char *health_name(unsigned i)
{
    return server_health_name((enum server_health)i);
}

static const char *reason_name(unsigned i)
{
    return server_health_reason_name((enum server_health_reason)i);
}

static bool read_numbers(const struct conf_node *map, struct server_past *past)
{
    for (unsigned i = 0; i < NUMBERS; i++) {
        const struct conf_node *n = conf_node_get(map, numbers[i].name);
        if (!n) continue;
        if (n->kind != CONF_NODE_SCALAR || n->is_quoted || !number_u64(n->text, number_of(past, i)))
            return false;
    }
    return true;
}

static bool read_note(const struct conf_node *map, struct health_note *note)
{
    unsigned health, reason;
    const char *words = text_of(map, "words");
    note->server = text_of(map, "name");
    note->address = text_of(map, "address");
    if (!note->pool || !note->server || !note->address) return false;
    if (!find_name(text_of(map, "health"), health_name, HEALTHS, &health)) return false;
    if (!find_name(text_of(map, "reason"), reason_name, SERVER_HEALTH_REASON_COUNT, &reason)) return false;
    note->past = (struct server_past){ .health = (enum server_health)health,
                                       .reason = (enum server_health_reason)reason };
    snprintf(note->past.words, sizeof(note->past.words), "%s", words ? words : "");
    return read_numbers(map, &note->past);
}

static void read_pool(const struct conf_node *pool, void (*on_note)(void *, const struct health_note *),
                      void *context, uint32_t *left_out)
{
    const struct conf_node *servers = pool->kind == CONF_NODE_MAP ? conf_node_get(pool, "servers") : NULL;
    struct health_note note = { .pool = text_of(pool, "name") };
    if (!servers || servers->kind != CONF_NODE_LIST) {
        (*left_out)++;
        return;
    }
    for (const struct conf_node *n = servers->first_child; n; n = n->next) {
        if (read_note(n, &note))
            on_note(context, &note);
        else
            (*left_out)++;
    }
}

int health_notes_read(struct slice document, void (*on_note)(void *context, const struct health_note *n),
                      void *context, uint32_t *left_out, struct err *err)
{
    struct conf_tree tree;
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    *left_out = 0;
    if (!faults) return err_set(err, "out of memory for what is known of servers");
    int result = conf_read_json(&tree, "health", document, faults);
    if (result < 0)
        err_set(err, "what is known of servers cannot be read: %s", faults->items[0].message);
    else if (tree.root->kind != CONF_NODE_LIST)
        result = err_set(err, "what is known of servers is no list of pools");
    for (const struct conf_node *n = result == 0 ? tree.root->first_child : NULL; n; n = n->next)
        read_pool(n, on_note, context, left_out);
    conf_tree_free(&tree);
    free(faults);
    return result;
}

/* taking over */

struct resuming {
    struct proxy *proxy;
    uint64_t now_ms;
    uint32_t taken, unknown;
};

static void resume_one(void *context, const struct health_note *n)
{
    struct resuming *r = context;
    struct pool *pool = proxy_pool_by_name(r->proxy, n->pool);
    struct server *s = pool ? pool_server_by_name(pool, n->server) : NULL;
    bool is_same = s && strcmp(s->address_text, n->address) == 0;
    if (is_same && server_past_resume(s, &n->past, pool->roster->conf->health != NULL, r->now_ms))
        r->taken++;
    else
        r->unknown++;
}

static int read_all(int fd, char **out, size_t *len, struct err *err)
{
    char *bytes = malloc(HEALTH_NOTES_MAX);
    ssize_t got = 0;
    *len = 0;
    if (!bytes) return err_set(err, "out of memory for what is known of servers");
    while (*len < HEALTH_NOTES_MAX &&
           (got = pread(fd, bytes + *len, HEALTH_NOTES_MAX - *len, (off_t)*len)) > 0)
        *len += (size_t)got;
    *out = bytes;
    return got < 0 ? err_set(err, "what is known of servers cannot be read from its file") : 0;
}

static int resume_all(struct resuming *r, int fd, uint32_t *left_out, struct err *err)
{
    char *bytes = NULL;
    size_t len = 0;
    int result = read_all(fd, &bytes, &len, err);
    if (result == 0) result = health_notes_read((struct slice){ bytes, len }, resume_one, r, left_out, err);
    free(bytes);
    for (uint32_t i = 0; result == 0 && i < r->proxy->pool_count; i++)
        result = pool_rebuild(r->proxy->pools[i], err);
    return result;
}

void health_notes_resume(struct proxy *p, int fd, uint64_t now_ms)
{
    char quoted[ERR_TEXT_MAX + 64];
    struct err err;
    struct resuming r = { .proxy = p, .now_ms = now_ms };
    uint32_t left_out = 0;
    if (resume_all(&r, fd, &left_out, &err) == 0)
        log_event(LOG_INFO, "health_taken_over", "servers=%u left_out=%u", r.taken, r.unknown + left_out);
    else
        log_event(LOG_WARN, "health_not_taken_over", "reason=%s",
                  log_quote(err.text, quoted, sizeof(quoted)));
}
