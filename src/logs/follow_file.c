#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/text.h"
#include "logs/followed.h"

#define LAST_LINE_BYTES (64u << 10)
#define COMPARED_BYTES (256u << 10)

/* The oldest rotated file that was read to its end makes way for another. It is not read again, for from now on the floor
 * is above it; one whose new name matches the pattern would be, so it stays. */
static bool make_file_room(struct follow *f)
{
    struct follow_file *oldest = NULL;
    FOLLOW_EACH(file, f)
    {
        if (file->fd >= 0 || !file->is_rotated || file->is_changed || file->consumed < file->size) continue;
        if (oldest && oldest->modified_ns <= file->modified_ns) continue;
        if (fnmatch(f->names, file->name, FNM_PERIOD) != 0) oldest = file;
    }
    if (!oldest) return false;
    if (f->floor_ns <= oldest->modified_ns) f->floor_ns = oldest->modified_ns + 1;
    if (f->next_floor_ns < f->floor_ns) f->next_floor_ns = f->floor_ns;
    follow_file_free(oldest);
    return true;
}

struct follow_file *follow_file_new(struct follow *f, const char *name)
{
    if (f->file_count >= f->options.files_max && !make_file_room(f)) {
        f->counts.refused++;
        err_set(&f->fault, "%s has more than %u files that belong to it: %s is not read; narrow the pattern",
                f->directory, f->options.files_max, name);
        return NULL;
    }
    struct follow_file *file = calloc(1, sizeof(*file));
    if (!file) {
        f->counts.refused++;
        return NULL;
    }
    file->follow = f;
    file->fd = file->watch = -1;
    file->changed_ms = loop_now_ms(f->loop);
    size_t len = strnlen(name, ROTATION_NAME_MAX);
    memcpy(file->home, name, len);
    memcpy(file->name, name, len);
    list_init(&file->due);
    list_push_back(&f->files, &file->link);
    f->file_count++;
    return file;
}

static void close_fd(struct follow_file *file)
{
    struct follow *f = file->follow;
    if (file->watch >= 0) inotify_rm_watch(f->inotify.fd, file->watch);
    close(file->fd);
    file->fd = file->watch = -1;
    f->open_count--;
}

void follow_file_free(struct follow_file *file)
{
    if (file->fd >= 0) close_fd(file);
    list_remove(&file->due);
    list_remove(&file->link);
    file->follow->file_count--;
    free(file);
}

void follow_file_close(struct follow_file *file, bool is_final)
{
    struct follow *f = file->follow;
    list_remove(&file->due);
    close_fd(file);
    f->counts.gone++;
    f->events->on_gone(f->context, file, is_final);
    file->seat = NULL;
    file->offset = file->consumed;
}

/* its first bytes */

static bool read_at(int fd, char *out, size_t len, uint64_t offset)
{
    size_t got = 0;
    while (got < len) {
        ssize_t n = pread(fd, out + got, len - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        got += (size_t)n;
    }
    return true;
}

static uint64_t hash_of(const struct follow_file *file)
{
    if (!file->is_head_loaded) return file->head_hash;
    return place_hash((struct slice){ file->head, file->head_len });
}

/* Whether the file still begins as it did. */
static bool has_its_head(const struct follow_file *file)
{
    char now[PLACE_HEAD_BYTES];
    return read_at(file->fd, now, file->head_len, 0) && memcmp(now, file->head, file->head_len) == 0;
}

/* What the place says is compared with the file; false: it is another. */
static bool load_head(struct follow_file *file)
{
    if (file->is_head_loaded) return has_its_head(file);
    if (!read_at(file->fd, file->head, file->head_len, 0)) return false;
    struct slice head = { file->head, file->head_len };
    file->is_head_loaded = place_hash(head) == file->head_hash;
    return file->is_head_loaded;
}

static void start_anew(struct follow_file *file)
{
    file->offset = file->consumed = 0;
    file->head_len = 0;
    file->is_head_loaded = true;
}

/* Reading begins at `offset`, before which nothing was read by us. */
static void start_at(struct follow_file *file, uint64_t offset)
{
    start_anew(file);
    uint32_t len = offset < PLACE_HEAD_BYTES ? (uint32_t)offset : PLACE_HEAD_BYTES;
    if (!read_at(file->fd, file->head, len, 0)) return;
    file->head_len = len;
    file->offset = file->consumed = offset;
}

/* Where the line that is being written begins; of a very long one, where it ends as yet. */
static uint64_t last_line(int fd, uint64_t size)
{
    char bytes[4096];
    uint64_t at = size;
    while (at && size - at < LAST_LINE_BYTES) {
        size_t len = at < sizeof(bytes) ? (size_t)at : sizeof(bytes);
        if (!read_at(fd, bytes, len, at - len)) return size;
        const char *newline = memrchr(bytes, '\n', len);
        if (newline) return at - len + (size_t)(newline - bytes) + 1;
        at -= len;
    }
    return at ? size : 0;
}

void follow_remember(struct follow_file *file)
{
    struct follow *f = file->follow;
    if (!file->head_len) return; /* nothing of it was read */
    struct ghost *g = &f->ghosts[f->ghost_next++ % GHOSTS_MAX];
    if (f->ghost_count < GHOSTS_MAX) f->ghost_count++;
    *g = (struct ghost){ hash_of(file), file->consumed, file->head_len, "" };
    memcpy(g->home, file->home, sizeof(g->home));
}

static void truncated(struct follow_file *file)
{
    struct follow *f = file->follow;
    follow_remember(file);
    start_anew(file);
    f->counts.truncated++;
    f->events->on_truncated(f->context, file);
}

/* copies */

static bool has_same_base(const char *a, const char *b)
{
    char base_a[ROTATION_NAME_MAX + 1], base_b[ROTATION_NAME_MAX + 1];
    return rotation_base(slice_of(a), base_a) && rotation_base(slice_of(b), base_b) &&
           strcmp(base_a, base_b) == 0;
}

static bool is_copy_of_ghost(const struct ghost *g, struct slice head, uint64_t size, const char *name)
{
    return size >= g->consumed && head.len >= g->head_len && has_same_base(g->home, name) &&
           place_hash((struct slice){ head.data, g->head_len }) == g->head_hash;
}

static bool begins_alike(struct slice a, struct slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    return len && memcmp(a.data, b.data, len) == 0;
}

/* As it was when it was read. */
static bool began_alike(const struct follow_file *of, struct slice head)
{
    if (of->is_head_loaded) return begins_alike((struct slice){ of->head, of->head_len }, head);
    if (!of->head_len || head.len < of->head_len) return false;
    return place_hash((struct slice){ head.data, of->head_len }) == of->head_hash;
}

/* As it is: it may have been truncated and written since, and not been looked at. */
static bool begins_alike_now(const struct follow_file *of, struct slice head)
{
    char bytes[PLACE_HEAD_BYTES];
    ssize_t n = of->fd >= 0 ? pread(of->fd, bytes, sizeof(bytes), 0) : -1;
    return n > 0 && begins_alike((struct slice){ bytes, (size_t)n }, head);
}

/* Logs that began in one second may begin alike: then it is told further on. */
static bool goes_on_alike(const struct follow_file *of, const struct follow_file *file)
{
    char a[PLACE_HEAD_BYTES], b[PLACE_HEAD_BYTES];
    for (uint64_t at = 0; of->fd >= 0 && at < COMPARED_BYTES; at += sizeof(a)) {
        ssize_t n = pread(of->fd, a, sizeof(a), (off_t)at), m = pread(file->fd, b, sizeof(b), (off_t)at);
        if (n <= 0 || m <= 0) return true;
        if (memcmp(a, b, (size_t)(n < m ? n : m)) != 0) return false;
    }
    return true;
}

/* They begin alike and then differ. If `of` is truncated and written meanwhile, that is no difference of the two. */
static bool is_another(const struct follow_file *of, struct slice head, const struct follow_file *file)
{
    return begins_alike_now(of, head) && !goes_on_alike(of, file) && begins_alike_now(of, head);
}

/* Of two files of which nothing was read yet the one whose name rotation did not touch is the original. */
static bool is_original(const struct follow_file *of)
{
    char base[ROTATION_NAME_MAX + 1];
    return !of->is_held || (rotation_base(slice_of(of->name), base) && strcmp(base, of->name) == 0);
}

/* A file of the same name is a successor, never a copy; and nobody copies and truncates what has been renamed. */
static bool may_be_copy(const struct follow_file *of, struct slice head, const struct follow_file *file)
{
    if (of == file || of->is_rotated || strcmp(of->home, file->name) == 0 || !is_original(of)) return false;
    if (!has_same_base(of->home, file->home) || is_another(of, head, file)) return false;
    return began_alike(of, head) || begins_alike_now(of, head);
}

/* Whether the file that has the name that `file` had is one that no look has found yet: `file` may be its copy. */
static bool is_original_unseen(const struct follow_file *file)
{
    const struct follow *f = file->follow;
    char base[ROTATION_NAME_MAX + 1], path[FOLLOW_PATH_BYTES];
    struct stat st;
    if (!rotation_base(slice_of(file->name), base) || strcmp(base, file->name) == 0) return false;
    if (fnmatch(f->names, base, FNM_PERIOD) != 0) return false;
    struct text t = text_over(path, sizeof(path));
    text_printf(&t, "%s/%s", f->directory, base);
    if (stat(text_cstr(&t), &st) < 0 || !S_ISREG(st.st_mode)) return false;
    return !follow_find(f, file_id_of(&st));
}

static void go_on_with_copy(struct follow_file *file, uint32_t index)
{
    struct follow *f = file->follow;
    struct ghost g = f->ghosts[index];
    f->ghosts[index] = f->ghosts[--f->ghost_count];
    f->ghost_next = f->ghost_count;
    file->is_held = file->is_copy = false;
    f->counts.copies++;
    start_at(file, g.consumed);
}

static bool begin_anew(struct follow_file *file, size_t len);

/* What `file` may be a copy of is looked at before it: whoever copies and truncates a file, and renames it then, does so in
 * this order, so one that is renamed and still begins as it did has no copy. */
static void find_truncated(const struct follow_file *file)
{
    struct follow *f = file->follow;
    FOLLOW_EACH(of, f)
    {
        if (of == file || of->is_held || of->fd < 0 || !has_same_base(of->home, file->home)) continue;
        if (!has_its_head(of)) begin_anew(of, 0);
    }
}

static bool is_copy_of_any(const struct follow_file *file, struct slice head)
{
    const struct follow *f = file->follow;
    FOLLOW_EACH(of, f)
    {
        if (may_be_copy(of, head, file)) return true;
    }
    return false;
}

void follow_file_judge(struct follow_file *file)
{
    struct follow *f = file->follow;
    char bytes[PLACE_HEAD_BYTES];
    struct stat st;
    find_truncated(file);
    ssize_t n = pread(file->fd, bytes, sizeof(bytes), 0);
    if (n <= 0 || fstat(file->fd, &st) < 0) return;
    struct slice head = { bytes, (size_t)n };
    for (uint32_t i = 0; i < f->ghost_count; i++) {
        if (!is_copy_of_ghost(&f->ghosts[i], head, (uint64_t)st.st_size, file->home)) continue;
        go_on_with_copy(file, i);
        return;
    }
    file->is_copy = is_copy_of_any(file, head);
    /* Where a file found no room, no look will find it. */
    bool has_room = f->file_count < f->options.files_max;
    bool is_look_needed = !file->is_copy && has_room && is_original_unseen(file);
    if (is_look_needed) f->is_look_due = true;
    file->is_held = file->is_copy || is_look_needed;
}

/* opening */

static void watch(struct follow_file *file)
{
    struct follow *f = file->follow;
    char path[64];
    if (f->inotify.fd < 0) return;
    /* By the descriptor: the name may be another file's by now. */
    struct text t = text_over(path, sizeof(path));
    text_printf(&t, "/proc/self/fd/%d", file->fd);
    file->watch = inotify_add_watch(f->inotify.fd, text_cstr(&t), IN_MODIFY);
}

static int open_name(const struct follow *f, const char *name)
{
    char path[FOLLOW_PATH_BYTES];
    struct text t = text_over(path, sizeof(path));
    text_printf(&t, "%s/%s", f->directory, name);
    return open(text_cstr(&t), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* A place may be of a file that was truncated, or of another that had its inode. */
static void check_place(struct follow_file *file, uint64_t size)
{
    if (!file->offset) {
        start_anew(file);
        file->is_held = true;
    } else if (size < file->offset || !load_head(file)) {
        truncated(file);
        file->is_held = true;
    }
}

bool follow_file_open(struct follow_file *file)
{
    struct follow *f = file->follow;
    struct stat st;
    int fd = open_name(f, file->name);
    if (fd < 0) {
        if (errno != ENOENT) follow_failed(f, "open", file->name);
        return false;
    }
    if (fstat(fd, &st) < 0 || !file_id_equal(file_id_of(&st), file->id)) {
        close(fd);
        f->is_look_due = true;
        return false;
    }
    file->fd = fd;
    f->open_count++;
    f->counts.opened++;
    watch(file);
    bool is_known = file->is_restored || file->head_len;
    if (is_known)
        check_place(file, (uint64_t)st.st_size);
    else if (f->is_first_look && f->options.is_from_end &&
             !follow_was_looked_for(f, file->name, file->modified_ns))
        start_at(file, last_line(fd, (uint64_t)st.st_size));
    else
        start_anew(file);
    file->is_restored = false;
    return true;
}

/* reading */

static void deliver(struct follow_file *file, size_t len)
{
    struct follow *f = file->follow;
    if (file->head_len < PLACE_HEAD_BYTES && file->head_len == file->offset) {
        size_t room = PLACE_HEAD_BYTES - file->head_len;
        size_t more = len < room ? len : room;
        memcpy(file->head + file->head_len, f->memory, more);
        file->head_len += (uint32_t)more;
    }
    file->offset += len;
    file->changed_ms = loop_now_ms(f->loop);
    f->counts.bytes += len;
    memset(f->memory + len, 0, FOLLOW_SLACK_BYTES);
    f->events->on_data(f->context, file, (struct slice){ f->memory, len });
}

/* The file began anew while a piece was read: whether the piece is from before. It is, unless it can be read again. */
static bool is_from_before(const struct follow_file *file, size_t len)
{
    char again[4096];
    size_t part = len < sizeof(again) ? len : sizeof(again);
    if (!read_at(file->fd, again, part, file->offset + len - part)) return true;
    return memcmp(again, file->follow->memory + len - part, part) != 0;
}

/* Nothing was there to read. true: because the file is shorter than it was. */
static bool has_shrunk(const struct follow_file *file)
{
    struct stat st;
    return fstat(file->fd, &st) == 0 && (uint64_t)st.st_size < file->offset;
}

static bool begin_anew(struct follow_file *file, size_t len)
{
    if (len && is_from_before(file, len)) deliver(file, len);
    truncated(file);
    return true;
}

/* If it was shortened, but not so far that its first bytes are others, what is left was read. The first bytes are looked
 * at again: it may have been truncated a moment ago. */
static bool shrunk(struct follow_file *file)
{
    struct stat st;
    if (!has_its_head(file)) return begin_anew(file, 0);
    if (fstat(file->fd, &st) < 0) return false;
    truncated(file);
    start_at(file, (uint64_t)st.st_size);
    return false;
}

bool follow_file_read(struct follow_file *file)
{
    struct follow *f = file->follow;
    if (file->is_held) follow_file_judge(file);
    if (file->is_held) return false;
    if (!has_its_head(file)) return begin_anew(file, 0);
    ssize_t n = pread(file->fd, f->memory, FOLLOW_PIECE_BYTES, (off_t)file->offset);
    if (n < 0) {
        if (errno == EINTR) return true;
        follow_failed(f, "read", file->name);
        return false;
    }
    if (!has_its_head(file)) return begin_anew(file, (size_t)n);
    if (n == 0) return has_shrunk(file) ? shrunk(file) : false;
    deliver(file, (size_t)n);
    return n == FOLLOW_PIECE_BYTES;
}
