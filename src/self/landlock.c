#include "self/landlock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Later than the headers that it is built with. */
#define ACCESS_TRUNCATE (UINT64_C(1) << 14) /* Linux 6.2, version 3 */
/* Version 1 (Linux 5.13 to 5.18) refuses every renaming from one folder to another. */
#define VERSION_MIN 2
#define VERSION_TRUNCATE 3
#define LINKS_MAX 40u /* as the kernel follows, path_resolution(7) */

#define CHANGE                                                                                        \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |       \
     LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER)
#define DEVICES (LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK)
#define RUN ((uint64_t)LANDLOCK_ACCESS_FS_EXECUTE)
/* What of these is there for what is no folder. */
#define FOR_FILES (LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE | RUN)

/* The process's: written before there is a second thread. */
static struct {
    bool is_in_force;
    char *roots[2 * LANDLOCK_PATHS_MAX]; /* in which it may write: real paths */
    uint32_t root_count;
} given;

struct rules {
    int fd;
    uint64_t change; /* as far as this kernel knows it */
};

/* folders of the root */

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0) return true;
    return false;
}

bool landlock_is_for_system(const char *top)
{
    static const char *const names[] = { "bin",    "boot", "etc", "lib", "lib32", "lib64",
                                         "libx32", "sbin", "sys", "usr", NULL };
    return is_one_of(top + (*top == '/'), names);
}

/* Where data is: nothing that lies there is a program. */
static bool is_for_data(const char *top)
{
    static const char *const names[] = { "dev", "media", "mnt", "proc", "run",
                                         "srv", "sys",   "tmp", "var",  NULL };
    return is_one_of(top, names);
}

/* rules */

static void remember(const char *path)
{
    char *real = given.root_count < sizeof(given.roots) / sizeof(*given.roots) ? realpath(path, NULL) : NULL;
    if (real) given.roots[given.root_count++] = real;
}

/* What is not there, or not to be had, has no rule. */
static bool allow(const struct rules *r, const char *path, uint64_t access)
{
    struct stat st;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) return false;
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode)) access &= FOR_FILES;
    struct landlock_path_beneath_attr rule = { .allowed_access = access, .parent_fd = fd };
    bool is_added = access &&
                    syscall(SYS_landlock_add_rule, r->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
    close(fd);
    if (is_added && access & LANDLOCK_ACCESS_FS_WRITE_FILE) remember(path);
    return is_added;
}

/* Links of the root lead to where there is a rule, or is none. */
static void allow_top(const struct rules *r, const struct dirent *d)
{
    char path[NAME_MAX + 2];
    struct stat st;
    uint64_t access = (landlock_is_for_system(d->d_name) ? UINT64_C(0) : r->change) |
                      (is_for_data(d->d_name) ? UINT64_C(0) : RUN);
    snprintf(path, sizeof(path), "/%s", d->d_name);
    if (access && lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) allow(r, path, access);
}

static int allow_tops(const struct rules *r, struct err *err)
{
    const struct dirent *d;
    DIR *root = opendir("/");
    if (!root) return err_set(err, "/ cannot be read: %s", strerror(errno));
    while ((d = readdir(root)))
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0) allow_top(r, d);
    closedir(root);
    return 0;
}

/* Where the link `path` leads, in its place. False: it is none, or leads nowhere that can be said. */
static bool follow(char path[PATH_MAX])
{
    char target[PATH_MAX];
    ssize_t len = readlink(path, target, sizeof(target) - 1);
    if (len <= 0) return false;
    target[len] = 0;
    char *slash = *target == '/' ? NULL : strrchr(path, '/');
    size_t folder_len = slash ? (size_t)(slash - path) + 1 : 0;
    if (folder_len + (size_t)len >= PATH_MAX) return false;
    memcpy(path + folder_len, target, (size_t)len + 1);
    return true;
}

/* The nearest folder above `path`, or itself, that is there; "" where that is the root, of which all is a part. What a link leads to
 * that is not there yet is made where it leads. */
static void find_nearest(const char *path, char out[PATH_MAX])
{
    struct stat st;
    unsigned links = 0;
    snprintf(out, PATH_MAX, "%s", path);
    while (*out && stat(out, &st) < 0) {
        if (links++ < LINKS_MAX && follow(out)) continue;
        char *slash = strrchr(out, '/');
        if (!slash) {
            snprintf(out, PATH_MAX, "."); /* a name alone: where weir was started */
            return;
        }
        *slash = 0;
    }
}

/* A folder itself; of a file or a socket its folder, where it may be made, renamed and replaced. The real path, to be freed; NULL: it is not to be had. */
static char *find_folder(const char *path)
{
    char nearest[PATH_MAX];
    struct stat st;
    find_nearest(path, nearest);
    bool is_replaced = *nearest && stat(nearest, &st) == 0 &&
                       (S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode) || S_ISFIFO(st.st_mode));
    char *slash = is_replaced ? strrchr(nearest, '/') : NULL;
    if (slash)
        *slash = 0;
    else if (is_replaced)
        snprintf(nearest, sizeof(nearest), ".");
    return realpath(*nearest ? nearest : "/", NULL);
}

/* Where it is written, and where its name is, if that is a link to elsewhere: there it may be replaced. */
static int allow_named(const struct rules *r, const char *path, struct err *err)
{
    char *end = realpath(path, NULL);
    char *folders[] = { find_folder(path), end ? find_folder(end) : NULL };
    bool is_root = false;
    for (unsigned i = 0; i < 2; i++) {
        if (folders[i] && strcmp(folders[i], "/") == 0)
            is_root = true;
        else if (folders[i])
            allow(r, folders[i], r->change);
        free(folders[i]);
    }
    free(end);
    if (!is_root) return 0;
    return err_set(err,
                   "%.200s is in the root itself, of which every folder is a part: who may write there may "
                   "write everywhere; choose a folder below it",
                   path);
}

/* Of the program that this is, by the name under which it was started and by its own: a newer one comes to one of these places. */
static void allow_program(const struct rules *r, const char *name)
{
    char *real = name ? realpath(name, NULL) : NULL;
    char *slash = real ? strrchr(real, '/') : NULL;
    if (slash && slash != real) {
        *slash = 0;
        allow(r, real, RUN);
    }
    free(real);
}

static void allow_folder_of(const struct rules *r, const char *name)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof(folder), "%s", name ? name : "");
    char *slash = strrchr(folder, '/');
    if (slash && slash != folder) {
        *slash = 0;
        allow(r, folder, RUN);
    }
}

static int fill(const struct rules *r, const struct landlock_paths *paths, struct err *err)
{
    const char *name = (const char *)getauxval(AT_EXECFN); /* NOLINT(performance-no-int-to-ptr) */
    if (allow_tops(r, err) < 0) return -1;
    allow_program(r, "/proc/self/exe");
    allow_program(r, name);
    allow_folder_of(r, name);
    for (uint32_t i = 0; i < paths->count; i++)
        if (allow_named(r, paths->items[i], err) < 0) return -1;
    return 0;
}

static void forget_roots(void)
{
    while (given.root_count) free(given.roots[--given.root_count]);
}

static int restrict_self(const struct rules *r, struct err *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set(err, "rights to come cannot be given up: %s", strerror(errno));
    if (syscall(SYS_landlock_restrict_self, r->fd, 0) == 0) return 0;
    if (errno == E2BIG)
        return err_set(err,
                       "sixteen weirs before this one have given up files, each for those after it, and the "
                       "kernel takes no more: what they gave up holds");
    return err_set(err, "the kernel does not take the rules: %s", strerror(errno));
}

long landlock_version(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return version < 0 && errno == EOPNOTSUPP ? 0 : version;
}

int landlock_give_up(const struct landlock_paths *paths, struct err *err)
{
    long version = landlock_version();
    if (version == 0)
        return err_set(err, "landlock is there, and turned off when this kernel was started (lsm=)");
    if (version < 0) return err_set(err, "the kernel has no landlock: %s", strerror(errno));
    if (version < VERSION_MIN)
        return err_set(err,
                       "the kernel's landlock is of version %ld, whose rules forbid to rename files; from 2 "
                       "on (Linux 5.19) it is of use",
                       version);
    struct rules r = { .change = CHANGE | (version >= VERSION_TRUNCATE ? ACCESS_TRUNCATE : 0) };
    struct landlock_ruleset_attr all = { .handled_access_fs = r.change | DEVICES | RUN };
    r.fd = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all.handled_access_fs), 0);
    if (r.fd < 0) return err_set(err, "the kernel does not take a set of rules: %s", strerror(errno));
    int result = fill(&r, paths, err);
    if (result == 0) result = restrict_self(&r, err);
    close(r.fd);
    given.is_in_force = result == 0;
    if (result < 0) forget_roots();
    return result;
}

bool landlock_is_in_force(void)
{
    return given.is_in_force;
}

static bool is_within(const char *path, const char *root)
{
    size_t len = strlen(root);
    return strncmp(path, root, len) == 0 && (path[len] == '/' || !path[len]);
}

bool landlock_may_write(const char *path)
{
    char nearest[PATH_MAX];
    bool may = false;
    if (!given.is_in_force) return true;
    find_nearest(path, nearest);
    char *real = *nearest ? realpath(nearest, NULL) : NULL;
    for (uint32_t i = 0; real && i < given.root_count && !may; i++) may = is_within(real, given.roots[i]);
    free(real);
    return may;
}
