#include "logs/follow.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "logs/followed.h"

#define SOON_MS 10u
#define PIECES_A_VISIT 4u /* of one file before the next has its turn */
#define NAMES_MAX 4096u

void follow_failed(struct follow *f, const char *what, const char *name)
{
    f->counts.failed++;
    err_set(&f->fault, "cannot %s %s in %s: %s", what, name, f->directory, strerror(errno));
}

void follow_due(struct follow_file *file)
{
    struct follow *f = file->follow;
    if (!list_is_empty(&file->due)) return;
    file->due_since_ms = loop_now_ms(f->loop);
    list_push_back(&f->due, &file->due);
}

/* what inotify says */

static void hear(struct follow *f, const struct inotify_event *e)
{
    if (e->wd == f->directory_watch || e->mask & IN_Q_OVERFLOW) {
        f->is_look_due = true;
        return;
    }
    FOLLOW_EACH(file, f)
    {
        if (file->fd >= 0 && file->watch == e->wd) follow_due(file);
    }
}

/* The kernel keeps no more than max_queued_events, 16,384 by default. */
static void hear_all(struct follow *f)
{
    _Alignas(struct inotify_event) char bytes[16384];
    ssize_t n = 0;
    for (unsigned i = 0; i < 256 && f->inotify.fd >= 0; i++) {
        n = read(f->inotify.fd, bytes, sizeof(bytes));
        if (n <= 0) return;
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *e = (const void *)(bytes + at);
            hear(f, e);
            at += (ssize_t)(sizeof(*e) + e->len);
        }
    }
}

/* The directory may have come, or be another by now; asking again for the same one gives the same watch. */
static void watch_directory(struct follow *f)
{
    if (f->inotify.fd < 0) return;
    uint32_t mask = IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | IN_ONLYDIR;
    int watch = inotify_add_watch(f->inotify.fd, f->directory, mask);
    if (f->directory_watch >= 0 && watch != f->directory_watch)
        inotify_rm_watch(f->inotify.fd, f->directory_watch);
    f->directory_watch = watch;
}

/* the loop's turns */

/* true: there is more of it. */
static bool visit(struct follow_file *file, uint64_t end)
{
    for (unsigned i = 0; i < PIECES_A_VISIT && file->follow->counts.bytes < end; i++)
        if (!follow_file_read(file)) return false;
    return true;
}

static void read_due(struct follow *f)
{
    uint64_t end = f->counts.bytes + f->options.turn_bytes;
    while (!list_is_empty(&f->due) && f->counts.bytes < end) {
        struct follow_file *file = container_of(f->due.next, struct follow_file, due);
        uint64_t offset = file->offset;
        bool has_more = visit(file, end);
        /* It was read to its end: its descriptor is for the next one, which is not to wait for the next look. */
        if (!has_more && file->offset != offset && file->is_rotated && f->is_short && f->is_old_due)
            f->is_look_due = true;
        list_remove(&file->due);
        if (has_more) list_push_back(&f->due, &file->due);
    }
    if (!list_is_empty(&f->due)) loop_defer(f->loop, &f->work);
}

static void hear_later(struct follow *f)
{
    if (!timer_is_armed(&f->soon)) loop_arm(f->loop, &f->soon, SOON_MS);
}

static void look_at_files(struct follow *f)
{
    follow_look(f);
    hear_all(f);
    if (!f->is_look_due) follow_looked(f);
}

static void on_work(struct loop_task *t)
{
    struct follow *f = container_of(t, struct follow, work);
    hear_all(f);
    if (f->is_look_due) look_at_files(f);
    read_due(f);
    if (f->is_look_due) hear_later(f);
}

static void on_soon(struct timer *t)
{
    struct follow *f = container_of(t, struct follow, soon);
    loop_defer(f->loop, &f->work);
}

static void on_look(struct timer *t)
{
    struct follow *f = container_of(t, struct follow, look);
    watch_directory(f);
    f->is_look_due = true;
    loop_defer(f->loop, &f->work);
    loop_arm(f->loop, &f->look, FOLLOW_LOOK_MS);
}

static void on_inotify(struct loop_fd *io, uint32_t events)
{
    struct follow *f = container_of(io, struct follow, inotify);
    (void)events;
    hear_later(f);
}

/* opening and closing */

static int split_pattern(struct follow *f, const char *pattern, struct err *err)
{
    const char *slash = strrchr(pattern, '/');
    const char *names = slash ? slash + 1 : pattern;
    if (!*names || strlen(pattern) >= NAMES_MAX || strlen(names) > ROTATION_NAME_MAX)
        return err_set(err, "\"%s\" names no file; write a path such as /var/log/nginx/access*.log", pattern);
    if (!slash)
        f->directory = strdup(".");
    else
        f->directory = slash == pattern ? strdup("/") : strndup(pattern, (size_t)(slash - pattern));
    f->names = strdup(names);
    if (!f->directory || !f->names) return err_set(err, "out of memory for following %s", pattern);
    if (strpbrk(f->directory, "*?["))
        return err_set(
            err, "%s: only the last part of a path may have wildcards; write one source for each directory",
            pattern);
    return 0;
}

static void set_options(struct follow *f, const struct follow_options *given)
{
    struct follow_options o = given ? *given : (struct follow_options){ 0 };
    if (!o.files_max) o.files_max = 1024;
    if (o.files_max > PLACES_MAX - GHOSTS_MAX) o.files_max = PLACES_MAX - GHOSTS_MAX;
    if (!o.open_max) o.open_max = 64;
    if (!o.old_max) o.old_max = 16;
    if (!o.turn_bytes) o.turn_bytes = 8u << 20;
    f->options = o;
}

static void restore_ghost(struct follow *f, const struct place *p)
{
    if (f->ghost_count == GHOSTS_MAX || !p->head_len) return;
    struct ghost *g = &f->ghosts[f->ghost_count++];
    *g = (struct ghost){ p->head_hash, p->offset, p->head_len, "" };
    memcpy(g->home, p->name, sizeof(g->home));
    f->ghost_next = f->ghost_count;
}

static void restore(struct follow *f, const struct place *p)
{
    if (!p->inode) {
        restore_ghost(f, p);
        return;
    }
    struct follow_file *file = follow_file_new(f, p->name);
    if (!file) return;
    file->id = (struct file_id){ p->device, p->inode };
    file->offset = file->consumed = file->size = p->offset;
    file->modified_ns = p->modified_ns;
    file->head_hash = p->head_hash;
    file->head_len = p->head_len;
    file->is_rotated = p->is_rotated;
    file->is_restored = true;
    file->is_changed = !p->is_rotated;
}

static void open_inotify(struct follow *f)
{
    f->directory_watch = -1;
    f->inotify = (struct loop_fd){ .fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), .on_ready = on_inotify };
    /* Without it, every look finds what it would have said. */
    if (f->inotify.fd >= 0 && loop_fd_register(f->loop, &f->inotify, EPOLLIN) < 0)
        loop_fd_close(f->loop, &f->inotify);
}

int follow_open(struct follow **out, struct loop *loop, const char *pattern,
                const struct follow_options *options, const struct follow_events *events, void *context,
                const struct places *places, struct err *err)
{
    struct follow *f = calloc(1, sizeof(*f));
    if (!f) return err_set(err, "out of memory for following %s", pattern);
    f->loop = loop;
    f->events = events;
    f->context = context;
    f->inotify.fd = -1;
    f->is_first_look = true;
    f->has_places = places != NULL;
    list_init(&f->files);
    list_init(&f->due);
    timer_init(&f->soon, on_soon);
    timer_init(&f->look, on_look);
    loop_task_init(&f->work, on_work);
    set_options(f, options);
    int result = split_pattern(f, pattern, err);
    if (result == 0 && !(f->memory = malloc(FOLLOW_PIECE_BYTES + FOLLOW_SLACK_BYTES)))
        result = err_set(err, "out of memory for following %s", pattern);
    if (result == 0 && places && places->names && !(f->names_before = strdup(places->names)))
        result = err_set(err, "out of memory for following %s", pattern);
    if (result < 0) {
        follow_close(f);
        return -1;
    }
    if (places) f->floor_ns = f->next_floor_ns = places->floor_ns;
    for (uint32_t i = 0; places && i < places->count; i++) restore(f, &places->items[i]);
    open_inotify(f);
    loop_arm(loop, &f->look, FOLLOW_LOOK_MS);
    watch_directory(f);
    f->is_look_due = true;
    loop_defer(loop, &f->work);
    *out = f;
    return 0;
}

static void bury(struct loop_grave *g)
{
    free(container_of(g, struct follow, grave));
}

void follow_close(struct follow *f)
{
    if (!f) return;
    FOLLOW_EACH(file, f)
    {
        if (file->fd >= 0) follow_file_close(file, false);
        follow_file_free(file);
    }
    loop_cancel(&f->work);
    loop_disarm(f->loop, &f->soon);
    loop_disarm(f->loop, &f->look);
    loop_fd_close(f->loop, &f->inotify);
    free(f->directory);
    free(f->names);
    free(f->names_before);
    free(f->memory);
    loop_bury(f->loop, &f->grave, bury);
}

void follow_read_again(struct follow *f)
{
    FOLLOW_EACH(file, f)
    {
        if (file->fd < 0) continue;
        f->events->on_gone(f->context, file, false);
        file->seat = NULL;
        f->counts.bytes -= file->offset - file->consumed;
        file->offset = file->consumed;
        if (file->head_len > file->offset) file->head_len = (uint32_t)file->offset;
        follow_due(file);
    }
    loop_defer(f->loop, &f->work);
}

/* what is known */

void follow_consumed(struct follow_file *file, uint64_t offset)
{
    file->consumed = offset < file->offset ? offset : file->offset;
}

uint64_t follow_offset(const struct follow_file *file)
{
    return file->offset;
}

void **follow_seat(struct follow_file *file)
{
    return &file->seat;
}

const struct follow_counts *follow_counts(const struct follow *f)
{
    return &f->counts;
}

const char *follow_fault(const struct follow *f)
{
    return f->fault.text;
}

uint32_t follow_open_count(const struct follow *f)
{
    return f->open_count;
}

static uint64_t lag_of(const struct follow_file *file)
{
    struct stat st;
    uint64_t size = file->size;
    if (file->is_copy) return 0;
    if (file->fd >= 0) size = fstat(file->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
    return size > file->offset ? size - file->offset : 0;
}

uint64_t follow_lag_bytes(const struct follow *f)
{
    uint64_t sum = 0;
    FOLLOW_EACH(file, f)
    {
        sum += lag_of(file);
    }
    return sum;
}

uint64_t follow_lag_ms(const struct follow *f)
{
    uint64_t now_ms = loop_now_ms(f->loop), lag_ms = 0;
    FOLLOW_EACH(file, f)
    {
        if (list_is_empty(&file->due) || !lag_of(file)) continue;
        if (now_ms - file->due_since_ms > lag_ms) lag_ms = now_ms - file->due_since_ms;
    }
    return lag_ms;
}

static void place_of(const struct follow_file *file, struct place *out)
{
    *out = (struct place){ .device = file->id.device,
                           .inode = file->id.inode,
                           .offset = file->consumed,
                           .modified_ns = file->modified_ns,
                           .head_hash = file->head_hash,
                           .head_len = file->head_len,
                           .is_rotated = file->is_rotated };
    if (file->is_head_loaded) out->head_hash = place_hash((struct slice){ file->head, file->head_len });
    memcpy(out->name, file->home, sizeof(out->name));
}

static void place_of_ghost(const struct ghost *g, struct place *out)
{
    *out = (struct place){
        .offset = g->consumed, .head_hash = g->head_hash, .head_len = g->head_len, .is_rotated = true
    };
    memcpy(out->name, g->home, sizeof(out->name));
}

int follow_places(const struct follow *f, struct places *out, struct err *err)
{
    *out = (struct places){ .items = calloc(f->file_count + f->ghost_count + 1, sizeof(*out->items)) };
    if (!out->items) return err_set(err, "out of memory for %u places", f->file_count + f->ghost_count);
    out->floor_ns = f->floor_ns;
    for (uint32_t i = 0; i < f->stranger_count; i++) /* who goes on from here has never seen them */
        if (f->strangers[i].modified_ns >= out->floor_ns) out->floor_ns = f->strangers[i].modified_ns + 1;
    FOLLOW_EACH(file, f)
    {
        if (!file->is_held) place_of(file, &out->items[out->count++]);
    }
    for (uint32_t i = 0; i < f->ghost_count; i++) place_of_ghost(&f->ghosts[i], &out->items[out->count++]);
    return 0;
}

const char *follow_looked_for(const struct follow *f)
{
    if (!f->is_first_look) return f->names;
    if (!f->has_places) return NULL;
    return f->names_before ? f->names_before : f->names;
}
