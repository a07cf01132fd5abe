/* A file that lists servers: read when it changes, and now and then, since not all file systems say what happens in them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "discovery/server_list.h"
#include "discovery/sources.h"
#include "net/file_watch.h"
#include "net/jobs.h"

#define POLL_MS 10000u

struct look;

struct file {
    struct source source; /* first */
    struct file_watch watch;
    struct look *look; /* NULL: it is not being read */
    bool is_due;       /* it has changed while it was read */
    bool is_unwatched; /* which was said */
    bool is_closed;    /* when the look is over it goes */
    struct loop_grave grave;
    char path[PLACE_TEXT_MAX + 1];
};

/* One reading, on the jobs' thread. */
struct look {
    struct job job; /* first */
    struct file *file;
    struct file_watch_set *watched;
    enum source_result result;
    struct err err;
    uint32_t count;
    struct found found[SERVER_LIST_MAX];
};

/* reading */

static int open_file(const char *path, struct err *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return err_set(err, "%s cannot be read: %s", path, strerror(errno));
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) return fd;
    close(fd);
    return err_set(err, "%s is no file", path);
}

/* As much as is there; it may be written meanwhile, which is read once more. NULL: not all of it can be read. */
static char *read_file(const char *path, size_t *len, struct err *err)
{
    int fd = open_file(path, err);
    if (fd < 0) return NULL;
    char *text = malloc(SERVER_LIST_BYTES_MAX + 1);
    ssize_t got = 1;
    *len = 0;
    while (text && got > 0 && *len <= SERVER_LIST_BYTES_MAX) {
        got = read(fd, text + *len, SERVER_LIST_BYTES_MAX + 1 - *len);
        if (got > 0) *len += (size_t)got;
    }
    if (!text)
        err_set(err, "there is no memory to read it");
    else if (got < 0)
        err_set(err, "%s cannot be read: %s", path, strerror(errno));
    else if (*len > SERVER_LIST_BYTES_MAX)
        err_set(err, "%s has more than %u bytes", path, SERVER_LIST_BYTES_MAX);
    close(fd);
    if (text && got >= 0 && *len <= SERVER_LIST_BYTES_MAX) return text;
    free(text);
    return NULL;
}

static void run(struct job *job)
{
    struct look *l = (struct look *)job;
    size_t len;
    /* Watched first: what changes while it is read is looked at again. */
    l->watched = file_watch_set_new(&l->file->watch);
    file_watch_set_add(l->watched, l->file->path);
    char *text = read_file(l->file->path, &len, &l->err);
    l->result = SOURCE_FAILED;
    if (text && server_list_read((struct slice){ text, len }, l->found, &l->count, &l->err) == 0)
        l->result = l->count ? SOURCE_FOUND : SOURCE_EMPTY;
    free(text);
}

static void free_look(struct look *l)
{
    file_watch_set_free(l->watched);
    free(l);
}

static void bury(struct loop_grave *g)
{
    free(container_of(g, struct file, grave));
}

/* What happened to it may be told in this turn still. */
static void free_file(struct file *f)
{
    file_watch_fini(&f->watch);
    loop_bury(f->watch.loop, &f->grave, bury);
}

/* Once, until it is watched again. */
static void watch_on(struct file *f, struct look *l)
{
    char place[SOURCE_QUOTED_MAX];
    bool is_unwatched = file_watch_set_missed(l->watched) > 0;
    file_watch_use(&f->watch, l->watched);
    l->watched = NULL;
    if (is_unwatched && !f->is_unwatched)
        log_event(LOG_WARN, "source_not_watched",
                  "source=%s reason=\"inotify has no room; it is read every %u s\" remedy=\"raise "
                  "fs.inotify.max_user_watches and max_user_instances\"",
                  source_quote(&f->source, place), POLL_MS / 1000);
    f->is_unwatched = is_unwatched;
}

static void done(struct job *job)
{
    struct look *l = (struct look *)job;
    struct file *f = l->file;
    f->look = NULL;
    if (f->is_closed) {
        free_look(l);
        free_file(f);
        return;
    }
    struct source_answer a = { .result = l->result,
                               .reason = l->result == SOURCE_EMPTY ? "it lists no server" : l->err.text,
                               .holds_ms = POLL_MS,
                               .found = l->found,
                               .count = l->count };
    if (!job_has_run(job)) {
        a.result = SOURCE_FAILED;
        a.reason = SOURCE_NO_WORK;
    }
    if (l->watched) watch_on(f, l);
    bool is_due = f->is_due;
    f->is_due = false;
    source_answered(&f->source, &a);
    free_look(l);
    if (is_due) (void)source_ask(&f->source);
}

/* asking */

static void refuse(struct file *f, const char *reason)
{
    const struct source_answer a = { .result = SOURCE_FAILED, .reason = reason };
    source_answered(&f->source, &a);
}

static void ask(struct source *s)
{
    struct file *f = (struct file *)s;
    struct look *l = calloc(1, sizeof(*l));
    if (!*f->path) {
        memcpy(f->path, s->place.name.data, s->place.name.len);
        f->watch.loop = sources_options_of(s->all)->loop;
        file_watch_open(&f->watch);
    }
    if (!l) {
        refuse(f, "there is no memory to read it");
        return;
    }
    l->job = (struct job){ .run = run, .done = done };
    l->file = f;
    f->look = l;
    source_work(s, &l->job);
}

static void on_change(void *context)
{
    struct file *f = context;
    if (!source_ask(&f->source)) f->is_due = true;
}

static struct source *open_source(void)
{
    struct file *f = calloc(1, sizeof(*f));
    if (!f) return NULL;
    file_watch_init(&f->watch, NULL, on_change, f);
    return &f->source;
}

static void close_source(struct source *s)
{
    struct file *f = (struct file *)s;
    file_watch_stop(&f->watch);
    f->is_closed = true;
    if (!f->look) free_file(f);
}

const struct source_kind source_file = { open_source, ask, close_source };
