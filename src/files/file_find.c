#include "files/file_find.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xxhash.h>

#include "files/file_name.h"

/* How often a name is looked for anew that somebody moved meanwhile. */
#define TURNS_MAX 8

const char *file_result_text(enum file_result result)
{
    switch (result) {
    case FILE_FOUND: break;
    case FILE_NEEDS_SLASH: return "it is a folder";
    case FILE_NONE: return "there is no such file, nor a folder with an index";
    case FILE_DENIED: return "weir may not read it, or it is no file";
    case FILE_LEADS_OUT: return "a symbolic link leads out of the root";
    case FILE_NO_ROOT: return "the root is not there, or weir may not enter it";
    case FILE_NO_DESCRIPTORS: return "there are no more descriptors";
    case FILE_FAILED: return "the system refused to open it";
    case FILE_NOT_KNOWN: return "it is being looked for";
    }
    return "it is there";
}

static int open_in(int folder, const char *name, int flags, uint64_t resolve, bool may_wait)
{
    struct open_how how = { .flags = (unsigned)(flags | O_CLOEXEC),
                            .resolve = resolve | (may_wait ? 0 : RESOLVE_CACHED) };
    long fd = -1;
    for (int turn = 0; turn < TURNS_MAX; turn++) {
        fd = syscall(SYS_openat2, folder, name, &how, sizeof(how));
        bool is_disturbed = fd < 0 && (errno == EINTR || (errno == EAGAIN && may_wait));
        if (!is_disturbed) break;
    }
    return (int)fd;
}

static enum file_result result_of(int error, bool may_wait)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
    case ENXIO: return FILE_NONE;
    case EACCES:
    case EPERM: return FILE_DENIED;
    case EXDEV:
    case ELOOP: return FILE_LEADS_OUT;
    case EMFILE:
    case ENFILE: return FILE_NO_DESCRIPTORS;
    case EINVAL: /* a kernel that does not know how not to wait */
    case EAGAIN: return may_wait ? FILE_FAILED : FILE_NOT_KNOWN;
    default: return FILE_FAILED;
    }
}

static enum file_result fail(struct file_found *out, enum file_result result)
{
    if (out->fd >= 0) close(out->fd);
    out->fd = -1;
    out->result = (uint8_t)result;
    return result;
}

static void put_down(const struct stat *st, struct file_found *out)
{
    const uint64_t seen[] = { (uint64_t)st->st_ino,         (uint64_t)st->st_size,
                              (uint64_t)st->st_mtim.tv_sec, (uint64_t)st->st_mtim.tv_nsec,
                              (uint64_t)st->st_ctim.tv_sec, (uint64_t)st->st_ctim.tv_nsec };
    out->size = (uint64_t)st->st_size;
    out->modified_s = st->st_mtim.tv_sec;
    out->modified_ns = (uint32_t)st->st_mtim.tv_nsec;
    out->tag = XXH3_64bits(seen, sizeof(seen));
}

/* A name below the root: nothing that waits for another (a pipe) and nothing that is not a file is ever read. */
static enum file_result open_file(int root, const char *name, bool may_wait, struct file_found *out)
{
    struct stat st;
    out->fd = open_in(root, name, O_RDONLY | O_NOCTTY | O_NONBLOCK, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
                      may_wait);
    if (out->fd < 0 || fstat(out->fd, &st) < 0) {
        out->error = errno;
        return fail(out, result_of(errno, may_wait));
    }
    if (S_ISDIR(st.st_mode)) return fail(out, FILE_NEEDS_SLASH);
    if (!S_ISREG(st.st_mode)) return fail(out, FILE_DENIED);
    put_down(&st, out);
    out->says_type = name;
    out->coding = CODING_IDENTITY;
    out->result = FILE_FOUND;
    return FILE_FOUND;
}

/* Of a folder the first index that is a file; else the name itself. */
static enum file_result open_named(int root, const struct file_plan *plan, bool may_wait,
                                   struct file_found *out)
{
    size_t len = strlen(plan->name);
    if (len && plan->name[len - 1] != '/') return open_file(root, plan->name, may_wait, out);
    char name[FILE_NAME_MAX];
    for (uint32_t i = 0; i < plan->index_count; i++) {
        if ((size_t)snprintf(name, sizeof(name), "%s%s", plan->name, plan->index[i]) >= sizeof(name))
            continue;
        enum file_result result = open_file(root, name, may_wait, out);
        out->says_type = plan->index[i]; /* `name` ends here */
        if (result != FILE_NONE && result != FILE_NEEDS_SLASH) return result;
    }
    return fail(out, FILE_NONE);
}

/* A sibling that is older than the file is of another state of it. */
static bool is_older(const struct file_found *a, const struct file_found *b)
{
    return a->modified_s < b->modified_s ||
           (a->modified_s == b->modified_s && a->modified_ns < b->modified_ns);
}

/* Its name, as long as it is that which was found: index and fallback included. */
static bool name_of_found(const struct file_plan *plan, const struct file_found *found,
                          char name[FILE_NAME_MAX])
{
    bool is_own = found->says_type == plan->name || found->says_type == plan->fallback;
    int len = snprintf(name, FILE_NAME_MAX, "%s%s", is_own ? "" : plan->name, found->says_type);
    return len >= 0 && (size_t)len < FILE_NAME_MAX - 4; /* room for the sibling's ending */
}

/* Returns false where it cannot be known without waiting. */
static bool prefer_sibling(int root, const struct file_plan *plan, bool may_wait, struct file_found *out)
{
    static const char endings[CODINGS_MADE][5] = {
        [CODING_GZIP] = ".gz", [CODING_BR] = ".br", [CODING_ZSTD] = ".zst"
    };
    char name[FILE_NAME_MAX];
    if (!plan->coding_count || !name_of_found(plan, out, name)) return true;
    size_t len = strlen(name);
    for (uint32_t i = 0; i < plan->coding_count; i++) {
        struct file_found sibling = { .fd = -1 };
        memcpy(name + len, endings[plan->codings[i]], sizeof(endings[0]));
        enum file_result result = open_file(root, name, may_wait, &sibling);
        if (result == FILE_NOT_KNOWN) return false;
        if (result != FILE_FOUND) continue;
        if (is_older(&sibling, out)) {
            close(sibling.fd);
            continue;
        }
        close(out->fd);
        sibling.says_type = out->says_type;
        sibling.coding = plan->codings[i];
        *out = sibling;
        return true;
    }
    return true;
}

static void find_below(int root, const struct file_plan *plan, bool may_wait, struct file_found *out)
{
    enum file_result result = open_named(root, plan, may_wait, out);
    if (result == FILE_NONE && plan->fallback) {
        result = open_file(root, plan->fallback, may_wait, out);
        if (result == FILE_NEEDS_SLASH)
            result = fail(out, FILE_NONE); /* it is no folder that was asked for */
    }
    if (result == FILE_FOUND && !prefer_sibling(root, plan, may_wait, out)) fail(out, FILE_NOT_KNOWN);
}

void file_find(const struct file_plan *plan, bool may_wait, struct file_found *out)
{
    *out = (struct file_found){ .fd = -1, .coding = CODING_IDENTITY };
    /* Each time anew: it may be a link that a deployment points elsewhere. */
    int root = open_in(AT_FDCWD, plan->root, O_PATH | O_DIRECTORY, 0, may_wait);
    if (root < 0) {
        enum file_result result = result_of(errno, may_wait);
        bool is_of_root = result == FILE_NONE || result == FILE_DENIED || result == FILE_LEADS_OUT;
        out->error = errno;
        fail(out, is_of_root ? FILE_NO_ROOT : result);
        return;
    }
    find_below(root, plan, may_wait, out);
    close(root);
}
