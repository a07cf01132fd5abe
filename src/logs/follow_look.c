#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>

#include "logs/followed.h"

enum entry_kind {
    ENTRY_OTHER,
    ENTRY_MATCHING, /* the pattern */
    ENTRY_ROTATED,  /* its name without what rotation adds matches */
};

struct entry {
    const char *name;
    char base[ROTATION_NAME_MAX + 1];
    enum entry_kind kind;
    struct file_id id;
    uint64_t size, modified_ns;
};

static bool matches(const struct follow *f, const char *name)
{
    return fnmatch(f->names, name, FNM_PERIOD) == 0;
}

static enum entry_kind kind_of(const struct follow *f, struct entry *e)
{
    struct slice name = slice_of(e->name);
    if (rotation_is_packed(name) || !rotation_base(name, e->base)) return ENTRY_OTHER;
    if (matches(f, e->name)) return ENTRY_MATCHING;
    return strcmp(e->base, e->name) != 0 && matches(f, e->base) ? ENTRY_ROTATED : ENTRY_OTHER;
}

struct follow_file *follow_find(const struct follow *f, struct file_id id)
{
    FOLLOW_EACH(file, f)
    {
        if (file_id_equal(file->id, id)) return file;
    }
    return NULL;
}

/* Entries of other names are asked about only if their inode is one that is missed. */
static bool is_missed(const struct follow *f, uint64_t inode)
{
    FOLLOW_EACH(file, f)
    {
        if (file->id.inode == inode && file->fd < 0) return true;
    }
    return false;
}

static void note_name(struct follow *f, const struct entry *e)
{
    FOLLOW_EACH(file, f)
    {
        if (strcmp(file->home, e->name) != 0) continue;
        if (file_id_equal(file->id, e->id))
            file->is_at_home = true;
        else
            file->has_successor = true;
    }
}

/* Of several names that it has, its own comes first, then the one that it had. */
static void note_known(struct follow_file *file, const struct entry *e)
{
    bool is_better = !file->is_listed || strcmp(e->name, file->home) == 0;
    if (is_better && strcmp(file->name, e->name) != 0) {
        memset(file->name, 0, sizeof(file->name));
        memcpy(file->name, e->name, strnlen(e->name, ROTATION_NAME_MAX));
    }
    if (file->fd < 0 && (file->size != e->size || file->modified_ns != e->modified_ns))
        file->is_changed = true;
    file->is_listed = true;
    file->size = e->size;
    file->modified_ns = e->modified_ns;
}

static bool is_stranger(const struct follow *f, const struct entry *e)
{
    for (uint32_t i = 0; i < f->stranger_count; i++)
        if (file_id_equal(f->strangers[i].id, e->id)) return f->strangers[i].modified_ns == e->modified_ns;
    return false;
}

bool follow_was_looked_for(const struct follow *f, const char *name, uint64_t modified_ns)
{
    char base[ROTATION_NAME_MAX + 1];
    if (!f->has_places || !f->names_before) return f->has_places;
    if (fnmatch(f->names_before, name, FNM_PERIOD) == 0) return true;
    if (modified_ns < f->floor_ns || !rotation_base(slice_of(name), base)) return false;
    return fnmatch(f->names_before, base, FNM_PERIOD) == 0;
}

/* A rotated file that nobody knew is ours if it was the current one between two looks, or while weir was down: then it was
 * written after the last of those that are known. */
static bool is_ours(struct follow *f, const struct entry *e)
{
    if (e->kind == ENTRY_MATCHING) return true;
    if (e->modified_ns < f->floor_ns || is_stranger(f, e)) return false;
    if (!f->is_first_look || follow_was_looked_for(f, e->name, e->modified_ns)) return true;
    if (f->stranger_count < STRANGERS_MAX)
        f->strangers[f->stranger_count++] = (struct stranger){ e->id, e->modified_ns };
    return false;
}

static void add_file(struct follow *f, const struct entry *e)
{
    if (!is_ours(f, e)) return;
    struct follow_file *file = follow_file_new(f, e->name);
    if (!file) return;
    file->id = e->id;
    file->size = e->size;
    file->modified_ns = e->modified_ns;
    file->is_listed = file->is_held = file->is_changed = true;
    if (e->kind == ENTRY_MATCHING) return;
    file->is_rotated = true;
    f->counts.rotated++;
    memcpy(file->home, e->base, sizeof(file->home));
}

static void look_at_entry(struct follow *f, int directory, const struct dirent *d)
{
    struct entry e = { .name = d->d_name };
    struct stat st;
    e.kind = kind_of(f, &e);
    if (e.kind == ENTRY_OTHER && !is_missed(f, d->d_ino)) return;
    if (fstatat(directory, d->d_name, &st, 0) < 0) return; /* gone since, or a link to nowhere */
    if (!S_ISREG(st.st_mode)) return;
    e.id = file_id_of(&st);
    e.size = (uint64_t)st.st_size;
    e.modified_ns = modified_ns_of(&st);
    struct follow_file *file = follow_find(f, e.id);
    if (file)
        note_known(file, &e);
    else if (e.kind != ENTRY_OTHER)
        add_file(f, &e);
}

static void read_directory(struct follow *f, DIR *directory)
{
    struct dirent *d;
    for (uint32_t i = 0; i < FOLLOW_ENTRIES_MAX && (d = readdir(directory)); i++)
        look_at_entry(f, dirfd(directory), d);
}

/* The second time, when every file has its place in the list: who has whose name. */
static void read_names(struct follow *f)
{
    FOLLOW_EACH(file, f)
    {
        struct entry e = { .name = file->name, .id = file->id };
        if (file->is_listed) note_name(f, &e);
    }
}

/* descriptors */

static bool is_at_end(const struct follow_file *file)
{
    struct stat st;
    return fstat(file->fd, &st) == 0 && (uint64_t)st.st_size == file->offset;
}

/* The one that was quiet for longest. */
static struct follow_file *find_idle(const struct follow *f, bool is_rotated)
{
    struct follow_file *idle = NULL;
    FOLLOW_EACH(file, f)
    {
        if (file->fd < 0 || (is_rotated && !file->is_rotated)) continue;
        if (idle && idle->changed_ms <= file->changed_ms) continue;
        if (is_at_end(file)) idle = file;
    }
    return idle;
}

static bool has_room(struct follow *f)
{
    if (f->open_count < f->options.open_max) return true;
    struct follow_file *idle = find_idle(f, false);
    if (idle && idle->changed_ms + FOLLOW_QUIET_MS <= loop_now_ms(f->loop)) {
        follow_file_close(idle, false);
        return true;
    }
    f->is_short = true;
    return false;
}

static void open_changed(struct follow *f)
{
    f->is_short = false;
    FOLLOW_EACH(file, f)
    {
        if (file->fd >= 0 || !file->is_listed || !file->is_changed) continue;
        if (!has_room(f)) return;
        file->is_changed = !follow_file_open(file);
    }
}

static bool is_deleted(const struct follow_file *file)
{
    struct stat st;
    return fstat(file->fd, &st) == 0 && st.st_nlink == 0;
}

/* One that was renamed and has no successor goes on: its writer may know nothing of it. */
static bool is_finished(const struct follow_file *file, uint64_t now_ms)
{
    uint64_t since_ms = file->changed_ms > file->rotated_ms ? file->changed_ms : file->rotated_ms;
    if (is_at_end(file) && file->has_successor) return now_ms >= since_ms + FOLLOW_QUIET_MS;
    if (!is_at_end(file) && !file->is_held) return false;
    return is_deleted(file) && now_ms >= since_ms + FOLLOW_DELETED_MS;
}

/* Whether somebody else has its name, or nobody. */
static void note_rotation(struct follow_file *file, uint64_t now_ms)
{
    struct follow *f = file->follow;
    if (file->is_at_home) { /* again, or its inode is another file's now */
        file->is_rotated = false;
        file->rotated_ms = 0;
        return;
    }
    if (!file->is_rotated) {
        file->is_rotated = true;
        f->counts.rotated++;
        if (!file->is_held && file->fd >= 0) f->events->on_rotated(f->context, file);
    }
    if (file->has_successor && !file->rotated_ms) file->rotated_ms = now_ms;
}

static void close_finished(struct follow *f)
{
    uint64_t now_ms = loop_now_ms(f->loop);
    uint32_t old = 0;
    FOLLOW_EACH(file, f)
    {
        note_rotation(file, now_ms);
        if (file->fd < 0 || !file->is_rotated) continue;
        if (is_finished(file, now_ms))
            follow_file_close(file, true);
        else
            old++;
    }
    for (; old > f->options.old_max; old--) {
        struct follow_file *idle = find_idle(f, true);
        if (!idle) break; /* all of them have bytes to be read: not one is given up */
        follow_file_close(idle, true);
    }
    f->is_old_due = old > f->options.old_max;
}

/* A file that waits for a descriptor gets the next one that is free. As long as that opens files, looking goes on:
 * they are read before the next look, and make way. */
static void share_descriptors(struct follow *f)
{
    uint64_t opened = f->counts.opened;
    open_changed(f);
    uint32_t open_count = f->open_count;
    close_finished(f);
    if (f->is_short && f->open_count < open_count) {
        open_changed(f);
        f->is_old_due = true;
    }
    if (!f->is_short) return;
    f->counts.refused++;
    if (f->counts.opened != opened) f->is_look_due = true;
}

static void forget_gone(struct follow *f)
{
    FOLLOW_EACH(file, f)
    {
        if (file->fd >= 0 || file->is_listed) continue;
        follow_remember(file);
        follow_file_free(file);
    }
}

static void begin_look(struct follow *f)
{
    f->is_look_due = false;
    FOLLOW_EACH(file, f)
    {
        file->is_listed = file->is_at_home = file->has_successor = false;
        if (file->fd >= 0) follow_due(file);
    }
}

static void end(struct follow *f)
{
    FOLLOW_EACH(file, f)
    {
        if (file->fd >= 0) follow_due(file);
    }
}

void follow_looked(struct follow *f)
{
    f->floor_ns = f->next_floor_ns;
    FOLLOW_EACH(file, f)
    {
        if (file->modified_ns > f->next_floor_ns) f->next_floor_ns = file->modified_ns;
    }
}

void follow_look(struct follow *f)
{
    begin_look(f);
    DIR *directory = opendir(f->directory);
    if (directory) {
        read_directory(f, directory);
        closedir(directory);
    } else if (errno == ENOENT) {
        f->options.is_from_end = false; /* nothing was there at the start */
    } else {
        follow_failed(f, "open", "the directory");
        return; /* nothing is known, so nothing is given up */
    }
    read_names(f);
    share_descriptors(f);
    forget_gone(f);
    end(f);
    if (directory) f->is_first_look = false;
}
