#define XXH_INLINE_ALL
#include "net/file_watch.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/slice.h"

/* As many as the kernel follows (path_resolution(7)). */
#define LINKS_MAX 40u
#define EVENTS                                                                                      \
    (IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | \
     IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

/* Texts, by their hash. */
struct text_set {
    uint64_t *places; /* 0: free */
    uint32_t size, count;
};

struct file_watch_set {
    int fd;       /* the watch's */
    int *watches; /* of inotify */
    uint32_t watch_count, watch_room, missed;
    bool is_short;                  /* there was no memory for some of it */
    struct text_set folders, names; /* names: those that make a difference, whatever folder they are in */
};

static uint64_t *place_of(const struct text_set *s, uint64_t hash)
{
    uint32_t mask = s->size - 1, at = (uint32_t)hash & mask;
    while (s->places[at] && s->places[at] != hash) at = (at + 1) & mask;
    return &s->places[at];
}

static uint64_t hash_of(struct slice text)
{
    uint64_t hash = XXH3_64bits(text.data, text.len);
    return hash ? hash : 1;
}

static bool has_text(const struct text_set *s, struct slice text)
{
    return s->size && *place_of(s, hash_of(text));
}

static bool grow(struct text_set *s)
{
    struct text_set larger = { .size = s->size ? 2 * s->size : 64, .count = s->count };
    larger.places = calloc(larger.size, sizeof(*larger.places));
    if (!larger.places) return false;
    for (uint32_t i = 0; i < s->size; i++)
        if (s->places[i]) *place_of(&larger, s->places[i]) = s->places[i];
    free(s->places);
    *s = larger;
    return true;
}

/* False: it was there, or there is no memory. */
static bool add_text(struct file_watch_set *of, struct text_set *s, struct slice text)
{
    if (2 * s->count >= s->size && !grow(s)) {
        of->is_short = true;
        return false;
    }
    uint64_t hash = hash_of(text), *place = place_of(s, hash);
    if (*place) return false;
    *place = hash;
    s->count++;
    return true;
}

struct file_watch_set *file_watch_set_new(const struct file_watch *w)
{
    struct file_watch_set *s = calloc(1, sizeof(*s));
    if (!s) return NULL;
    s->fd = w->io.fd;
    return s;
}

uint32_t file_watch_set_missed(const struct file_watch_set *s)
{
    return s->missed;
}

bool file_watch_set_is_whole(const struct file_watch_set *s)
{
    return s && !s->is_short;
}

void file_watch_set_free(struct file_watch_set *s)
{
    if (!s) return;
    free(s->watches);
    free(s->folders.places);
    free(s->names.places);
    free(s);
}

/* `folder` is terminated. Asking again for one that is watched gives the same number. */
static void watch_folder(struct file_watch_set *s, const char *folder)
{
    if (!add_text(s, &s->folders, slice_of(folder))) return;
    int watch = inotify_add_watch(s->fd, folder, EVENTS);
    if (watch < 0) {
        s->missed++;
        return;
    }
    if (s->watch_count == s->watch_room) {
        uint32_t room = s->watch_room ? 2 * s->watch_room : 16;
        int *grown = realloc(s->watches, room * sizeof(*grown));
        if (!grown) {
            s->is_short = true;
            return;
        }
        s->watches = grown;
        s->watch_room = room;
    }
    s->watches[s->watch_count++] = watch;
}

static int compare(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return x < y ? -1 : x > y;
}

/* What the one before watched, and the next does not. */
static void leave(const struct file_watch_set *before, struct file_watch_set *next)
{
    if (next->watch_count) qsort(next->watches, next->watch_count, sizeof(*next->watches), compare);
    for (uint32_t i = 0; i < before->watch_count; i++) {
        const int *watch = &before->watches[i];
        if (next->watch_count &&
            bsearch(watch, next->watches, next->watch_count, sizeof(*next->watches), compare))
            continue;
        inotify_rm_watch(before->fd, *watch); /* it may be gone already, with its folder */
    }
}

/* The part of `path` in front of `end`, as a folder: "." and "/" where there is nothing. */
static void watch_in_front(struct file_watch_set *s, const char *path, size_t end)
{
    char folder[PATH_MAX];
    if (!end) {
        watch_folder(s, path[0] == '/' ? "/" : ".");
        return;
    }
    memcpy(folder, path, end);
    folder[end] = 0;
    watch_folder(s, folder);
}

/* `path` with the link that ends at `end` replaced by what it points to. False: it cannot be, or is too long. */
static bool follow_link(char path[PATH_MAX], size_t begin, size_t end)
{
    char link[PATH_MAX], target[PATH_MAX], next[PATH_MAX];
    memcpy(link, path, end);
    link[end] = 0;
    ssize_t len = readlink(link, target, sizeof(target) - 1);
    if (len <= 0) return false;
    target[len] = 0;
    int front = target[0] == '/' ? 0 : (int)begin;
    int total = snprintf(next, sizeof(next), "%.*s%s%s", front, path, target, path + end);
    if (total < 0 || (size_t)total >= sizeof(next)) return false;
    memcpy(path, next, (size_t)total + 1);
    return true;
}

enum walk { WALK_ON, WALK_AGAIN, WALK_END };

/* One name of the path, from `begin` to `end`. */
static enum walk walk_name(struct file_watch_set *s, char path[PATH_MAX], size_t begin, size_t end)
{
    struct stat st;
    char so_far[PATH_MAX];
    size_t folder = begin;
    while (folder && path[folder - 1] == '/') folder--;
    watch_in_front(s, path, folder);
    add_text(s, &s->names, (struct slice){ path + begin, end - begin });
    memcpy(so_far, path, end);
    so_far[end] = 0;
    if (lstat(so_far, &st) < 0) return WALK_END;
    if (!S_ISLNK(st.st_mode)) return WALK_ON;
    return follow_link(path, begin, end) ? WALK_AGAIN : WALK_END;
}

void file_watch_set_add(struct file_watch_set *s, const char *file)
{
    char path[PATH_MAX];
    uint32_t links = 0;
    size_t at = 0, len = file && s ? strlen(file) : 0;
    if (!len || len >= sizeof(path)) return;
    memcpy(path, file, len + 1);
    for (;;) {
        while (path[at] == '/') at++;
        size_t end = (size_t)(strchrnul(path + at, '/') - path);
        if (end == at) return;
        enum walk walk = walk_name(s, path, at, end);
        if (walk == WALK_END || (walk == WALK_AGAIN && ++links > LINKS_MAX)) return;
        at = walk == WALK_AGAIN ? 0 : end;
    }
}

/* the loop's side */

static void on_timer(struct timer *t)
{
    struct file_watch *w = container_of(t, struct file_watch, timer);
    w->first_ms = 0;
    w->on_change(w->context);
}

static void note_change(struct file_watch *w)
{
    uint64_t now_ms = loop_now_ms(w->loop);
    if (!w->first_ms) w->first_ms = now_ms;
    uint64_t latest_ms = w->first_ms + FILE_WATCH_LATEST_MS;
    uint64_t wait_ms = latest_ms > now_ms ? latest_ms - now_ms : 0;
    loop_arm(w->loop, &w->timer, wait_ms < FILE_WATCH_QUIET_MS ? wait_ms : FILE_WATCH_QUIET_MS);
}

static bool is_ours(const struct file_watch *w, const struct inotify_event *e)
{
    if (e->mask & IN_IGNORED) return false; /* the folder's own end was said before */
    return !w->set || !e->len || has_text(&w->set->names, slice_of(e->name));
}

/* Edge-triggered: all of it. */
static void on_events(struct loop_fd *f, uint32_t events)
{
    (void)events;
    struct file_watch *w = container_of(f, struct file_watch, io);
    _Alignas(struct inotify_event) char bytes[16384];
    ssize_t n;
    while ((n = read(f->fd, bytes, sizeof(bytes))) > 0) {
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *e = (const void *)(bytes + at);
            if (is_ours(w, e)) note_change(w);
            at += (ssize_t)(sizeof(*e) + e->len);
        }
    }
}

void file_watch_init(struct file_watch *w, struct loop *loop, void (*on_change)(void *context), void *context)
{
    *w = (struct file_watch){ .loop = loop, .on_change = on_change, .context = context };
    w->io.fd = -1;
    timer_init(&w->timer, on_timer);
}

void file_watch_open(struct file_watch *w)
{
    if (w->io.fd >= 0) return;
    w->io = (struct loop_fd){ .fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), .on_ready = on_events };
    if (w->io.fd >= 0 && loop_fd_register(w->loop, &w->io, EPOLLIN) < 0) loop_fd_close(w->loop, &w->io);
}

void file_watch_use(struct file_watch *w, struct file_watch_set *set)
{
    if (w->set) leave(w->set, set);
    file_watch_set_free(w->set);
    w->set = set;
}

void file_watch_stop(struct file_watch *w)
{
    loop_disarm(w->loop, &w->timer);
    w->first_ms = 0;
    if (w->io.fd >= 0) w->io.on_ready = NULL;
}

void file_watch_fini(struct file_watch *w)
{
    file_watch_stop(w);
    if (w->io.fd >= 0) loop_fd_close(w->loop, &w->io);
    file_watch_set_free(w->set);
    w->set = NULL;
}
