#include "control/generations.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "balance/balance.h"
#include "base/write_all.h"
#include "control/config.h"

#define STAGED_PREFIX ".new-"

static const char *const origin_names[] = { "start", "reload", "api", "rollback" };
#define ORIGIN_COUNT (sizeof(origin_names) / sizeof(*origin_names))

const char *generation_origin_name(uint32_t origin)
{
    return origin_names[origin];
}

/* Never 0, which stands for a file that could not be read. */
uint64_t generation_hash(struct slice text)
{
    uint64_t hash = balance_hash(text);
    return hash ? hash : 1;
}

/* names */

void generation_name(const struct generation *g, char out[GENERATION_NAME_MAX])
{
    char when[32];
    struct tm tm;
    time_t at = (time_t)g->at_s;
    gmtime_r(&at, &tm);
    strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm);
    snprintf(out, GENERATION_NAME_MAX, "%" PRIu32 "-%s-%s-%016" PRIx64 "-%016" PRIx64 ".%s", g->number, when,
             origin_names[g->origin], g->text_hash, g->file_hash, g->is_json ? "json" : "yaml");
}

bool generation_parse(const char *name, struct generation *out)
{
    char origin[9], ending[5], again[GENERATION_NAME_MAX];
    struct tm tm = { 0 };
    struct generation g = { .origin = ORIGIN_COUNT };
    if (strlen(name) >= GENERATION_NAME_MAX) return false;
    int got = sscanf(name, "%9" SCNu32 "-%4d%2d%2dT%2d%2d%2dZ-%8[a-z]-%16" SCNx64 "-%16" SCNx64 ".%4s",
                     &g.number, &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec,
                     origin, &g.text_hash, &g.file_hash, ending);
    if (got != 11) return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    g.at_s = timegm(&tm);
    g.is_json = strcmp(ending, "json") == 0;
    for (uint32_t i = 0; i < ORIGIN_COUNT; i++)
        if (strcmp(origin, origin_names[i]) == 0) g.origin = i;
    if (g.origin == ORIGIN_COUNT || !g.number) return false;
    *out = g;
    generation_name(&g, again); /* there is one way to write it */
    return strcmp(name, again) == 0;
}

/* the list */

const struct generation *generations_latest(const struct generations *g)
{
    return g->count ? &g->items[g->count - 1] : NULL;
}

const struct generation *generations_find(const struct generations *g, uint32_t number)
{
    for (uint32_t i = 0; i < g->count; i++)
        if (g->items[i].number == number) return &g->items[i];
    return NULL;
}

static void remove_at(struct generations *g, uint32_t place)
{
    g->count--;
    memmove(&g->items[place], &g->items[place + 1], (g->count - place) * sizeof(*g->items));
}

void generations_remove(struct generations *g, uint32_t number)
{
    const struct generation *at = generations_find(g, number);
    if (at) remove_at(g, (uint32_t)(at - g->items));
}

bool generations_add(struct generations *g, const struct generation *next, struct generation *gone)
{
    const struct generation *latest = generations_latest(g);
    bool is_same = latest && latest->text_hash == next->text_hash && latest->is_json == next->is_json;
    bool has_gone = is_same || g->count == GENERATIONS_MAX;
    if (has_gone) {
        uint32_t place = is_same ? g->count - 1 : 0;
        *gone = g->items[place];
        remove_at(g, place);
    }
    g->items[g->count++] = *next;
    return has_gone;
}

/* files */

void generation_unstage(int folder, const char *staged)
{
    unlinkat(folder, staged, 0);
}

int generation_stage(int folder, struct slice text, char staged[GENERATION_STAGED_MAX], struct err *err)
{
    static _Atomic uint32_t count;
    snprintf(staged, GENERATION_STAGED_MAX, STAGED_PREFIX "%d-%" PRIu32, (int)getpid(),
             atomic_fetch_add(&count, 1));
    int fd = openat(folder, staged, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int result = fd < 0 || write_all(fd, text) < 0 || fsync(fd) < 0 ? -1 : 0, cause = errno;
    if (fd >= 0) close(fd);
    if (result == 0) return 0;
    if (fd >= 0) generation_unstage(folder, staged);
    *staged = 0;
    return err_set(err, "the configuration cannot be kept in the folder of `state:`: %s", strerror(cause));
}

/* The rename is for good only when the folder is written too. The older file goes after that: whenever the process ends,
 * one of the two is there. */
int generation_publish(int folder, const char *staged, const struct generation *g,
                       const struct generation *gone, struct err *err)
{
    char name[GENERATION_NAME_MAX], old[GENERATION_NAME_MAX];
    generation_name(g, name);
    if (renameat(folder, staged, folder, name) < 0 || fsync(folder) < 0) {
        int cause = errno;
        generation_unstage(folder, staged);
        return err_set(err,
                       "generation %" PRIu32 " is in force, but cannot be kept in the folder of `state:`: %s",
                       g->number, strerror(cause));
    }
    if (!gone) return 0;
    generation_name(gone, old);
    unlinkat(folder, old, 0);
    return 0;
}

int generation_read(int folder, const struct generation *g, char **text, size_t *len, struct err *err)
{
    char name[GENERATION_NAME_MAX], path[64];
    struct stat st;
    *text = NULL;
    generation_name(g, name);
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        int cause = fd < 0 ? errno : EINVAL;
        if (fd >= 0) close(fd);
        return err_set(err, "cannot open generation %" PRIu32 ": %s", g->number, strerror(cause));
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int result = config_read(path, text, len, err);
    close(fd);
    if (result == 0 && generation_hash((struct slice){ *text, *len }) != g->text_hash) {
        config_text_free(*text, *len);
        *text = NULL;
        return err_set(err, "generation %" PRIu32 " is not used: its file is damaged", g->number);
    }
    return result;
}

/* opening */

/* In order; of too many the oldest goes. */
static void insert(struct generations *g, const struct generation *found)
{
    char name[GENERATION_NAME_MAX];
    if (g->count == GENERATIONS_MAX) {
        bool is_older = found->number < g->items[0].number;
        generation_name(is_older ? found : &g->items[0], name);
        unlinkat(g->folder, name, 0);
        if (is_older) return;
        remove_at(g, 0);
    }
    uint32_t place = g->count;
    while (place && g->items[place - 1].number > found->number) place--;
    memmove(&g->items[place + 1], &g->items[place], (g->count - place) * sizeof(*g->items));
    g->items[place] = *found;
    g->count++;
}

static int find_all(struct generations *g, struct err *err)
{
    int fd = openat(g->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int cause = errno;
        if (fd >= 0) close(fd);
        return err_set(err, "cannot be read: %s", strerror(cause));
    }
    struct generation found;
    for (const struct dirent *d = readdir(dir); d; d = readdir(dir)) {
        if (strncmp(d->d_name, STAGED_PREFIX, sizeof(STAGED_PREFIX) - 1) == 0)
            generation_unstage(g->folder, d->d_name); /* of a process that was killed meanwhile */
        else if (generation_parse(d->d_name, &found))
            insert(g, &found);
    }
    closedir(dir);
    return 0;
}

static bool is_folder_of(int held, const struct stat *st)
{
    struct stat of_held;
    return held >= 0 && fstat(held, &of_held) == 0 && of_held.st_dev == st->st_dev &&
           of_held.st_ino == st->st_ino;
}

static int open_folder(struct generations *g, const char *path, int held, struct err *err)
{
    struct stat st;
    if (mkdir(path, 0700) < 0 && errno != EEXIST) return err_set(err, "cannot be made: %s", strerror(errno));
    g->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (g->folder < 0 || fstat(g->folder, &st) < 0)
        return err_set(err, "cannot be opened: %s", strerror(errno));
    if (st.st_mode & S_IWOTH)
        return err_set(err,
                       "may be written to by anybody, who could put a configuration there: chmod o-w it");
    if (is_folder_of(held, &st)) {
        close(g->folder);
        g->folder = fcntl(held, F_DUPFD_CLOEXEC, 0);
        if (g->folder < 0) return err_set(err, "cannot be opened: %s", strerror(errno));
    }
    if (flock(g->folder, LOCK_EX | LOCK_NB) < 0)
        return err_set(err, "is in use by another weir: give each its own");
    return find_all(g, err);
}

int generations_open(struct generations **out, const char *path, int held, struct err *err)
{
    struct generations *g = calloc(1, sizeof(*g));
    if (!g) return err_set(err, "out of memory at start");
    g->folder = -1;
    if (open_folder(g, path, held, err) < 0) {
        generations_close(g);
        return err_prefix(err, "the folder of `state:`, %s", path);
    }
    *out = g;
    return 0;
}

void generations_leave(struct generations *g)
{
    if (g->folder >= 0) close(g->folder);
    g->folder = -1;
}

void generations_close(struct generations *g)
{
    if (!g) return;
    if (g->folder >= 0) close(g->folder);
    free(g);
}
