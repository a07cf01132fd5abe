#include "control/start.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "base/log.h"
#include "control/reload_history.h"
#include "self/privileges.h"

/* Its messages are lines of key=value from the first on. */
static void log_notes(const struct config_notes *notes)
{
    char *rest = NULL;
    for (char *line = notes->lines ? strtok_r(notes->lines, "\n", &rest) : NULL; line;
         line = strtok_r(NULL, "\n", &rest)) {
        char quoted[1024];
        log_event(LOG_WARN, "config_doubtful", "note=%s", log_quote(line, quoted, sizeof(quoted)));
    }
}

static int read_own_file(struct start *s, const char *path, struct config_notes *notes)
{
    struct err err = { "" };
    char *faults = NULL;
    int result = config_gather(path, &s->text, &s->text_len, &faults, &err);
    if (result == 0)
        result = config_parse_noted(&s->config, path, (struct slice){ s->text, s->text_len }, notes, &faults);
    /* From the first message on. */
    if (result == 0) result = log_use(s->config->messages.form, s->config->messages.journal, &err);
    s->faults = faults || result == 0 ? faults : strdup(*err.text ? err.text : CONFIG_NO_MEMORY);
    return result < 0 ? EX_CONFIG : EX_OK;
}

static void say_unusable(const struct generation *g, const char *reason)
{
    char quoted[8192];
    log_event(LOG_ERROR, "generation_unusable", "generation=%u by=%s reason=%s", g->number,
              generation_origin_name(g->origin), log_quote(reason, quoted, sizeof(quoted)));
}

/* False: the file's own configuration is what there is. */
static bool use_generation(struct start *s, const struct generation *g)
{
    char *text = NULL, *faults = NULL;
    struct config *config = NULL;
    struct err err = { "" };
    size_t len = 0;
    bool is_good = reload_history_read(s->generations->folder, g, &config, &text, &len, &faults, &err) == 0;
    if (!is_good) say_unusable(g, faults ? faults : err.text);
    config_text_free(text, len);
    free(faults);
    if (!is_good) return false;
    if (s->config->user && (!config->user || strcmp(s->config->user, config->user) != 0))
        log_event(LOG_WARN, "user_not_changed",
                  "user=%s wanted=%s reason=\"who weir becomes is said by the file\"", s->config->user,
                  config->user ? config->user : "root");
    config_free(s->config);
    s->config = config;
    s->generation = *g;
    s->is_kept = true;
    log_event(LOG_INFO, "generation_used", "generation=%u by=%s", g->number,
              generation_origin_name(g->origin));
    return true;
}

static void choose(struct start *s)
{
    const struct generation *latest = generations_latest(s->generations);
    struct generation *own = &s->generation;
    if (!latest) return;
    bool is_edited = latest->origin == GENERATION_API || latest->origin == GENERATION_ROLLBACK;
    bool is_same_file = latest->file_hash == own->text_hash;
    if (is_edited && is_same_file && use_generation(s, latest)) return;
    if (is_edited && !is_same_file)
        log_event(LOG_WARN, "generation_passed_over",
                  "generation=%u by=%s reason=\"the file has changed since, and is what holds\"",
                  latest->number, generation_origin_name(latest->origin));
    own->number = latest->number + 1;
    if (latest->text_hash != own->text_hash || latest->is_json != own->is_json || is_edited) return;
    *own = *latest;
    s->is_kept = true;
}

/* There may be secrets in it: it is not kept for longer than it takes to put it down. */
static void drop_text(struct start *s)
{
    config_text_free(s->text, s->text_len);
    s->text = NULL;
    s->text_len = 0;
}

int start_as_user(struct start *s)
{
    struct err err;
    struct privileges p;
    char room[256];
    struct text capabilities = text_over(room, sizeof(room));
    if (!s->config->user) return EX_OK;
    if (privileges_drop(s->config->user, &err) < 0) {
        s->faults = strdup(err.text);
        return EX_NOPERM;
    }
    privileges_read(&p);
    privileges_print(p.capabilities, &capabilities);
    log_event(LOG_INFO, "user_changed", "user=%s uid=%u gid=%u capabilities=\"%s\"", s->config->user,
              (unsigned)p.user, (unsigned)p.group, text_cstr(&capabilities));
    return EX_OK;
}

/* Read once more as whoever it names: a key that only root can read is found out now, not by a reload some night. */
static int read_as_user(struct start *s, const char *path)
{
    struct config_notes notes = { 0 };
    int code = read_own_file(s, path, &notes);
    bool is_again = code == EX_OK && s->config->user;
    if (is_again && (code = start_as_user(s)) == EX_OK) {
        config_notes_free(&notes);
        notes = (struct config_notes){ 0 };
        config_free(s->config);
        s->config = NULL;
        drop_text(s);
        code = read_own_file(s, path, &notes);
    }
    log_notes(&notes);
    config_notes_free(&notes);
    return code;
}

/* The file names nobody, and what has come by the API since does: it is read once more as that user, like a file. */
static int follow_user(struct start *s)
{
    int code = start_as_user(s);
    if (code != EX_OK || use_generation(s, &s->generation)) return code;
    s->faults = strdup("what is kept in the folder of `state:` cannot be read as the user that it names "
                       "(generation_unusable)");
    return EX_CONFIG;
}

int start_load(struct start *s, const char *path, int held)
{
    *s = (struct start){ .generation = { .number = 1 } };
    int code = read_as_user(s, path);
    if (code != EX_OK || !s->config->state) {
        drop_text(s);
        return code;
    }
    struct err err = { "" };
    if (generations_open(&s->generations, s->config->state, held, &err) < 0) {
        s->faults = strdup(err.text);
        return EX_OSERR;
    }
    uint64_t hash = generation_hash((struct slice){ s->text, s->text_len });
    s->generation = (struct generation){ .number = 1,
                                         .origin = GENERATION_START,
                                         .at_s = (int64_t)time(NULL),
                                         .text_hash = hash,
                                         .file_hash = hash,
                                         .is_json = config_is_json(path) };
    bool is_named = s->config->user;
    choose(s);
    if (s->is_kept) drop_text(s);
    return !is_named && s->config->user ? follow_user(s) : EX_OK;
}

int start_stage(struct start *s, struct err *err)
{
    char staged[GENERATION_STAGED_MAX];
    if (!s->generations || s->is_kept) return 0;
    if (generation_stage(s->generations->folder, (struct slice){ s->text, s->text_len }, staged, err) < 0)
        return -1;
    memcpy(s->staged, staged, sizeof(staged));
    drop_text(s);
    return 0;
}

int start_keep(struct start *s, struct err *err)
{
    struct generation gone;
    char staged[GENERATION_STAGED_MAX];
    if (!*s->staged) return 0;
    memcpy(staged, s->staged, sizeof(staged));
    *s->staged = 0;
    bool has_gone = generations_add(s->generations, &s->generation, &gone);
    s->is_kept = true;
    return generation_publish(s->generations->folder, staged, &s->generation, has_gone ? &gone : NULL, err);
}

void start_fini(struct start *s)
{
    if (*s->staged && s->generations->folder >= 0) generation_unstage(s->generations->folder, s->staged);
    config_text_free(s->text, s->text_len);
    config_free(s->config);
    generations_close(s->generations);
    free(s->faults);
    *s = (struct start){ 0 };
}
