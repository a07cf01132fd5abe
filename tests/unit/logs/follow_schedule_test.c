#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>

#include "logs/follow.h"

/* A writer and the reader in one thread: before each system call of the reader the writer may go on by a few of its own.
 * What happens in which order and when, and in which order a directory lists its files, is the seed's choice: what fails
 * once fails always. Only which inode a new file has is up to the file system. */

#define RECORDS_MAX 8192u
#define LINE_BYTES 24u
#define KEPT 9u
#define SEEDS 60u
#define ROUNDS 40u
#define ROUNDS_AHEAD 5u /* fewer than rotated files are kept: what is deleted unread is lost to anybody */
#define OPS_MAX 128u
#define STEP_MS 10u
#define STEPS_MAX 200000u /* ten times what the slowest writer needs */
#define REST_STEPS (2 * FOLLOW_QUIET_MS / STEP_MS)
#define NAMES_MAX 64u

enum op { OP_WRITE, OP_SHIFT, OP_COPY_BEGIN, OP_COPY, OP_TRUNCATE, OP_RENAME, OP_REOPEN };

struct writer {
    char directory[64];
    struct rng rng;
    enum op ops[OPS_MAX]; /* of this round */
    uint32_t op_count, op_next;
    uint32_t shift; /* the next rotated file to be renamed */
    int fd, copy_fd;
    off_t copied;
    uint32_t written, rounds, rounds_unread;
    uint32_t chance, burst; /* one in `chance` of the reader's calls lets it go on by up to `burst` steps */
    uint32_t rest;          /* so many turns of the reader's loop without it */
    uint32_t steps;         /* of the reader: the time that files are written at */
};

struct reader {
    struct loop loop;
    struct follow *follow;
    uint16_t seen[RECORDS_MAX];
    uint64_t received, malformed;
};

struct held {
    size_t len;
    char bytes[LINE_BYTES];
};

static struct budget budget = { .limit = 64 << 20 };
static struct writer *writer; /* while the reader runs */

/* the writer */

static const char *path_of(const struct writer *w, unsigned number)
{
    static char paths[2][128];
    static unsigned turn;
    char *path = paths[turn++ % 2];
    if (number)
        snprintf(path, sizeof(paths[0]), "%s/access.log.%u", w->directory, number);
    else
        snprintf(path, sizeof(paths[0]), "%s/access.log", w->directory);
    return path;
}

static int open_log(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

/* All that happens in one turn of the reader's loop has one time, as within one tick of a file system's clock. */
static void date(const struct writer *w, int fd)
{
    uint64_t ms = (uint64_t)w->steps * STEP_MS;
    struct timespec now = { .tv_sec = (time_t)(1600000000 + ms / 1000),
                            .tv_nsec = (long)(ms % 1000 * NS_PER_MS) };
    assert_int_equal(futimens(fd, (struct timespec[2]){ now, now }), 0);
}

static void write_record(struct writer *w)
{
    char line[LINE_BYTES];
    int len = snprintf(line, sizeof(line), "record %u end\n", w->written);
    assert_true(w->written++ < RECORDS_MAX);
    assert_int_equal(write(w->fd, line, (size_t)len), len);
    date(w, w->fd);
}

static void shift_one(struct writer *w)
{
    if (w->shift == KEPT)
        unlink(path_of(w, KEPT));
    else
        rename(path_of(w, w->shift), path_of(w, w->shift + 1));
    w->shift--;
}

/* false: there is nothing left to copy. */
static bool copy_some(struct writer *w)
{
    char bytes[100];
    ssize_t n = syscall(SYS_pread64, w->fd, bytes, sizeof(bytes), w->copied);
    assert_true(n >= 0);
    assert_int_equal(write(w->copy_fd, bytes, (size_t)n), n);
    date(w, w->copy_fd);
    w->copied += n;
    return n > 0;
}

/* true: the same once more. */
static bool run(struct writer *w, enum op op)
{
    switch (op) {
    case OP_WRITE: write_record(w); return false;
    case OP_SHIFT: shift_one(w); return w->shift > 0;
    case OP_COPY_BEGIN:
        w->copy_fd = open_log(path_of(w, 1));
        date(w, w->copy_fd);
        w->copied = 0;
        return false;
    case OP_COPY: return copy_some(w);
    case OP_TRUNCATE:
        close(w->copy_fd);
        assert_int_equal(ftruncate(w->fd, 0), 0);
        date(w, w->fd);
        return false;
    case OP_RENAME: assert_int_equal(rename(path_of(w, 0), path_of(w, 1)), 0); return false;
    case OP_REOPEN:
        close(w->fd);
        w->fd = open_log(path_of(w, 0));
        date(w, w->fd);
        return false;
    }
    return false;
}

static void plan(struct writer *w, enum op op, uint32_t count)
{
    for (uint32_t i = 0; i < count && w->op_count < OPS_MAX; i++) w->ops[w->op_count++] = op;
}

static void plan_round(struct writer *w)
{
    w->op_count = w->op_next = 0;
    w->shift = KEPT;
    plan(w, OP_WRITE, rng_below(&w->rng, 30));
    plan(w, OP_SHIFT, 1);
    if (rng_below(&w->rng, 2)) {
        plan(w, OP_COPY_BEGIN, 1);
        plan(w, OP_COPY, 1);
        plan(w, OP_TRUNCATE, 1);
    } else {
        plan(w, OP_RENAME, 1);
        plan(w, OP_WRITE, rng_below(&w->rng, 5));
        plan(w, OP_REOPEN, 1);
    }
    w->rounds++;
    w->rounds_unread++;
}

static bool is_done(const struct writer *w)
{
    return w->rounds == ROUNDS && w->op_next == w->op_count;
}

static void write_on(struct writer *w)
{
    if (is_done(w)) return;
    if (w->op_next == w->op_count) {
        if (w->rounds_unread == ROUNDS_AHEAD) return; /* waits for the reader */
        plan_round(w);
    }
    if (!run(w, w->ops[w->op_next])) w->op_next++;
}

/* the reader's system calls */

static void before_call(void)
{
    struct writer *w = writer;
    if (!w || w->rest || rng_below(&w->rng, w->chance)) return;
    writer = NULL; /* its own calls are not the reader's */
    for (uint32_t i = 1 + rng_below(&w->rng, w->burst); i; i--) write_on(w);
    writer = w;
}

ssize_t pread(int fd, void *out, size_t len, off_t offset)
{
    before_call();
    return syscall(SYS_pread64, fd, out, len, offset);
}

int fstat(int fd, struct stat *out)
{
    before_call();
    return (int)syscall(SYS_newfstatat, fd, "", out, AT_EMPTY_PATH);
}

int fstatat(int directory, const char *name, struct stat *out, int flags)
{
    before_call();
    return (int)syscall(SYS_newfstatat, directory, name, out, flags);
}

/* Reads all of them at first, then gives them in any order. */
struct dirent *readdir(DIR *directory)
{
    static struct dirent names[NAMES_MAX];
    static unsigned count;
    static DIR *current;
    static struct dirent *(*next)(DIR *);
    if (!next) next = (struct dirent * (*)(DIR *)) dlsym(RTLD_NEXT, "readdir64");
    if (!writer) return next(directory);
    if (current != directory) {
        current = directory;
        for (const struct dirent *d; count < NAMES_MAX && (d = next(directory));) names[count++] = *d;
    }
    before_call();
    if (!count) {
        current = NULL;
        return NULL;
    }
    unsigned pick = rng_below(&writer->rng, count--);
    struct dirent picked = names[pick];
    names[pick] = names[count];
    names[count] = picked;
    return &names[count];
}

/* the reader */

static void take(struct reader *r, struct held *held)
{
    char text[LINE_BYTES + 1] = "";
    unsigned number = RECORDS_MAX;
    char tail = 0;
    memcpy(text, held->bytes, held->len);
    held->len = 0;
    r->received++;
    if (sscanf(text, "record %u en%c", &number, &tail) == 2 && tail == 'd' && number < RECORDS_MAX)
        r->seen[number]++;
    else
        r->malformed++;
}

static struct held *held_of(struct follow_file *file)
{
    void **seat = follow_seat(file);
    if (!*seat) *seat = calloc(1, sizeof(struct held));
    assert_non_null(*seat);
    return *seat;
}

static void on_data(void *context, struct follow_file *file, struct slice piece)
{
    struct held *held = held_of(file);
    for (size_t i = 0; i < piece.len; i++) {
        if (piece.data[i] == '\n')
            take(context, held);
        else if (held->len < LINE_BYTES)
            held->bytes[held->len++] = piece.data[i];
    }
    follow_consumed(file, follow_offset(file) - held->len);
}

static void on_rotated(void *context, struct follow_file *file)
{
    (void)context;
    (void)file;
}

static void on_truncated(void *context, struct follow_file *file)
{
    (void)context;
    held_of(file)->len = 0;
}

static void on_gone(void *context, struct follow_file *file, bool is_final)
{
    struct held *held = held_of(file);
    if (is_final && held->len) {
        take(context, held);
        follow_consumed(file, follow_offset(file));
    }
    free(held);
}

static const struct follow_events events = { on_data, on_rotated, on_truncated, on_gone };

static void step(struct reader *r, struct writer *w)
{
    r->loop.now_ns += STEP_MS * NS_PER_MS;
    w->steps++;
    writer = w;
    loop_turn(&r->loop, 0);
    writer = NULL;
    if (r->received == w->written) w->rounds_unread = 0;
}

/* Between the reader's turns, where few of its calls let the writer go on; or it rests, so long that files are closed. */
static void write_between(struct writer *w)
{
    if (w->rest) {
        w->rest--;
        return;
    }
    for (uint32_t k = rng_below(&w->rng, w->burst + 1); k; k--) write_on(w);
    if (!rng_below(&w->rng, 200)) w->rest = rng_below(&w->rng, REST_STEPS);
}

static void read_to_the_end(struct reader *r, struct writer *w)
{
    while (!is_done(w) && w->steps < STEPS_MAX) {
        step(r, w);
        write_between(w);
    }
    for (uint32_t i = 0; i < REST_STEPS + 200; i++) step(r, w);
}

/* false: a record was lost or doubled. */
static bool has_each_once(const struct reader *r, const struct writer *w, uint64_t seed)
{
    uint32_t i = 0;
    while (i < w->written && r->seen[i] == 1) i++;
    if (!is_done(w)) /* as what it wrote did not arrive, or it is no judge of anything */
        print_error("seed %lu: the writer stands in round %u, %lu of %u records arrived\n", seed, w->rounds,
                    r->received, w->written);
    else if (i < w->written)
        print_error("seed %lu: record %u of %u arrived %u times\n", seed, i, w->written, r->seen[i]);
    else if (r->received != w->written || r->malformed)
        print_error("seed %lu: %lu of %u records, %lu malformed\n", seed, r->received, w->written,
                    r->malformed);
    return is_done(w) && i == w->written && r->received == w->written && !r->malformed;
}

static bool run_schedule(const char *parent, const char *names, uint64_t seed)
{
    struct reader *r = calloc(1, sizeof(*r));
    struct writer w = { .fd = -1, .copy_fd = -1 };
    char pattern[128];
    struct err err;
    assert_non_null(r);
    rng_seed(&w.rng, seed);
    w.chance = 1 + rng_below(&w.rng, 40);
    w.burst = 1 + rng_below(&w.rng, 60);
    snprintf(w.directory, sizeof(w.directory), "%s/weir-follow-XXXXXX", parent);
    assert_non_null(mkdtemp(w.directory));
    w.fd = open_log(path_of(&w, 0));
    date(&w, w.fd);
    assert_int_equal(loop_init(&r->loop, &budget, &err), 0);
    r->loop.is_virtual = true;
    snprintf(pattern, sizeof(pattern), "%s/%s", w.directory, names);
    assert_int_equal(follow_open(&r->follow, &r->loop, pattern, NULL, &events, r, NULL, &err), 0);
    read_to_the_end(r, &w);
    follow_close(r->follow);
    loop_fini(&r->loop);
    close(w.fd);
    for (unsigned i = 0; i <= KEPT; i++) unlink(path_of(&w, i));
    assert_int_equal(rmdir(w.directory), 0);
    bool result = has_each_once(r, &w, seed);
    free(r);
    return result;
}

/* One that gives a deleted file's inode to the next one, and one that does not. */
static const char *file_system_of(uint64_t seed)
{
    return seed % 2 && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
}

static void run_schedules(const char *names)
{
    uint32_t failed = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) failed += !run_schedule(file_system_of(seed), names, seed);
    assert_int_equal(failed, 0);
}

static void any_order_of_writer_and_reader_loses_and_doubles_nothing(void **state)
{
    (void)state;
    run_schedules("access.log");
}

static void any_order_within_the_pattern_loses_and_doubles_nothing(void **state)
{
    (void)state;
    run_schedules("access.log*");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_of_writer_and_reader_loses_and_doubles_nothing),
        cmocka_unit_test(any_order_within_the_pattern_loses_and_doubles_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
