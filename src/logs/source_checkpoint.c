#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/decode.h"
#include "logs/checkpoint.h"
#include "logs/source_parts.h"

/* Not more often than this, and never more than a hundredth of the time. */
#define SAVE_MIN_NS (5 * NS_PER_S)
#define SAVE_SHARE 100u
#define STATE_FILE_MAX (96u << 20)

static const char magic[] = "weir log state 1\n";

/* checkpoints: places and what was counted up to them, in one file */

static void put_places(struct source *s, struct state_out *out)
{
    struct places places = { 0 };
    struct err err;
    struct json j;
    json_init(&j, STATE_FILE_MAX, false);
    if (s->follow && follow_places(s->follow, &places, &err) < 0) {
        source_say_fault(s, "log_state_not_saved", err.text);
        out->is_failed = true;
    }
    places_print(&places, &j);
    if (j.is_failed) out->is_failed = true;
    state_put_slice(out, (struct slice){ j.data, j.is_failed ? 0 : j.len });
    json_fini(&j);
    places_fini(&places);
}

void source_save(struct source *s)
{
    struct state_out out = { 0 };
    struct err err = { "out of memory" };
    uint64_t began_ns = clock_now_ns();
    if (!*s->state_path) return;
    state_put_slice(&out, SLICE(magic));
    put_places(s, &out);
    tally_save(s->tally, &out);
    uint64_t hash = out.is_failed ? 0 : XXH3_64bits(out.data, out.len);
    for (unsigned i = 0; i < 8; i++) state_put_u64(&out, (hash >> (8 * i)) & 0x7f);
    struct slice bytes = { (const char *)out.data, out.len };
    if (out.is_failed || checkpoint_write(s->state_path, bytes, &err) < 0) {
        source_say_fault(s, "log_state_not_saved", err.text);
        atomic_fetch_add(&s->figures.save_failures, 1);
    } else {
        atomic_fetch_add(&s->figures.saves, 1);
        s->saved_records = s->records + s->malformed;
    }
    state_out_fini(&out);
    s->saved_ns = clock_now_ns();
    uint64_t pause_ns = (s->saved_ns - began_ns) * SAVE_SHARE;
    s->next_save_ns = s->saved_ns + (pause_ns > SAVE_MIN_NS ? pause_ns : SAVE_MIN_NS);
}

static int parse_places(struct source *s, struct slice text, struct err *err)
{
    struct conf_tree tree;
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    if (!faults) return err_set(err, "out of memory");
    int result = conf_read_json(&tree, "places", text, faults);
    result = result < 0 ? err_set(err, "its places are no JSON") : places_parse(tree.root, &s->places, err);
    conf_tree_free(&tree);
    free(faults);
    return result;
}

/* The last eight bytes are the rest's hash, seven bits in each. */
static bool is_whole(const char *data, size_t len)
{
    if (len < 8) return false;
    uint64_t hash = XXH3_64bits(data, len - 8);
    for (unsigned i = 0; i < 8; i++)
        if ((uint8_t)data[len - 8 + i] != ((hash >> (8 * i)) & 0x7f)) return false;
    return true;
}

static int load_state(struct source *s, const char *data, size_t len, struct err *err)
{
    if (!is_whole(data, len)) return err_set(err, "it is damaged");
    struct state_in in = { (const uint8_t *)data, (const uint8_t *)data + len - 8, false };
    if (!slice_equal(state_get_slice(&in, sizeof(magic)), SLICE(magic)))
        return err_set(err, "it was written by another version of weir");
    if (parse_places(s, state_get_slice(&in, STATE_FILE_MAX), err) < 0) return -1;
    return tally_load(s->tally, &in, err);
}

/* What cannot be read is kept for whoever wants to know, and reading begins as without it. */
static int put_aside(struct source *s, const struct err *why, struct err *err)
{
    char aside[PATH_MAX + 8];
    struct err said;
    snprintf(aside, sizeof(aside), "%s.bad", s->state_path);
    if (rename(s->state_path, aside) < 0)
        err_set(&said, "%s: %s; it cannot be put aside either (%s), and counting begins anew", s->state_path,
                why->text, strerror(errno));
    else
        err_set(&said, "%s: %s; it is called .bad now, and counting begins anew", s->state_path, why->text);
    source_say_fault(s, "log_state_refused", said.text);
    places_fini(&s->places);
    tally_free(s->tally);
    s->tally = NULL;
    return tally_new(&s->tally, true, err);
}

int source_load(struct source *s, struct err *err)
{
    char *data = NULL;
    size_t len = 0;
    struct err why;
    if (!*s->state_path) return 0;
    /* Statistics never keep traffic from starting, whatever is the matter with what was kept of them. */
    int result = checkpoint_read(s->state_path, STATE_FILE_MAX, &data, &len, &why);
    if (result == 0 && data) result = load_state(s, data, len, &why);
    free(data);
    return result < 0 ? put_aside(s, &why, err) : 0;
}

/* Nothing is made of a configuration that only may come into force. */
static bool can_be_made(const char *folder)
{
    char parent[PATH_MAX];
    if (access(folder, F_OK) == 0) return true;
    snprintf(parent, sizeof(parent), "%s", folder);
    size_t len = strlen(parent);
    while (len > 1 && parent[len - 1] == '/') parent[--len] = 0;
    char *slash = strrchr(parent, '/');
    if (slash) slash[slash == parent] = 0;
    return access(slash ? parent : ".", W_OK | X_OK) == 0;
}

void source_make_state(struct source *s)
{
    struct err err;
    if (!s->logs->state || mkdir(s->logs->state, 0700) == 0 || errno == EEXIST) return;
    err_set(&err, "cannot make %s: %s", s->logs->state, strerror(errno));
    source_say_fault(s, "log_state_not_saved", err.text);
}

int source_find_state(const struct source_conf *conf, const struct logs_conf *logs, char out[PATH_MAX],
                      struct err *err)
{
    *out = 0;
    if (!logs->state) return 0;
    if (!can_be_made(logs->state)) return err_set(err, "cannot make %s: %s", logs->state, strerror(errno));
    int len = snprintf(out, PATH_MAX, "%s/%s.logs", logs->state, conf->name);
    if (len < PATH_MAX) return 0;
    *out = 0;
    return err_set(err, "%s is too long a path", logs->state);
}

void source_saves_from_now(struct source *s)
{
    s->next_save_ns = clock_now_ns() + SAVE_MIN_NS;
}

void source_save_if_due(struct source *s)
{
    if (clock_now_ns() >= s->next_save_ns && s->saved_records != s->records + s->malformed) source_save(s);
}
