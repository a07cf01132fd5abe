#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "logs/follow.h"

#define RECORDS_MAX 65536u
#define LINE_MAX_BYTES 64u
#define KEPT 40u

/* Each record is a line with a number of its own. The reader counts how often each arrived. */
struct reader {
    struct loop loop;
    struct follow *follow;
    uint16_t seen[RECORDS_MAX];
    uint64_t received, malformed, largest_piece;
    uint32_t rotated, truncated, gone, final;
};

/* What is held of an incomplete line: the seat of a file. */
struct held {
    size_t len;
    char bytes[LINE_MAX_BYTES];
};

struct world {
    char directory[64];
    char path[128];
    struct rng rng;
    int fd, old_fd;
    uint32_t written, rotations;
    struct reader reader;
};

static struct budget budget = { .limit = 64 << 20 };

/* the reader */

static void take(struct reader *r, const char *line, size_t len)
{
    char text[LINE_MAX_BYTES + 1] = "";
    unsigned number = RECORDS_MAX;
    char tail = 0;
    memcpy(text, line, len);
    r->received++;
    if (sscanf(text, "record %u en%c", &number, &tail) == 2 && tail == 'd' && number < RECORDS_MAX)
        r->seen[number]++;
    else
        r->malformed++;
}

static void take_bytes(struct reader *r, struct held *held, struct slice piece)
{
    for (size_t i = 0; i < piece.len; i++) {
        if (piece.data[i] == '\n') {
            take(r, held->bytes, held->len);
            held->len = 0;
        } else if (held->len < LINE_MAX_BYTES) {
            held->bytes[held->len++] = piece.data[i];
        }
    }
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
    struct reader *r = context;
    struct held *held = held_of(file);
    if (piece.len > r->largest_piece) r->largest_piece = piece.len;
    for (size_t i = 0; i < FOLLOW_SLACK_BYTES; i++) assert_int_equal(piece.data[piece.len + i], 0);
    take_bytes(r, held, piece);
    follow_consumed(file, follow_offset(file) - held->len);
}

static void on_rotated(void *context, struct follow_file *file)
{
    (void)file;
    ((struct reader *)context)->rotated++;
}

static void on_truncated(void *context, struct follow_file *file)
{
    held_of(file)->len = 0;
    ((struct reader *)context)->truncated++;
}

static void on_gone(void *context, struct follow_file *file, bool is_final)
{
    struct reader *r = context;
    struct held *held = held_of(file);
    r->gone++;
    r->final += is_final;
    if (is_final && held->len) {
        take(r, held->bytes, held->len);
        follow_consumed(file, follow_offset(file));
    }
    free(held);
}

static const struct follow_events events = { on_data, on_rotated, on_truncated, on_gone };

static void start_with(struct world *w, const char *names, const struct follow_options *options,
                       const struct places *places)
{
    char pattern[256];
    struct err err;
    snprintf(pattern, sizeof(pattern), "%s/%s", w->directory, names);
    int result = follow_open(&w->reader.follow, &w->reader.loop, pattern, options, &events, &w->reader,
                             places, &err);
    assert_int_equal(result, 0);
}

static void start(struct world *w, const char *names)
{
    start_with(w, names, NULL, NULL);
}

static void step(struct world *w)
{
    w->reader.loop.now_ns += 10 * NS_PER_MS;
    loop_turn(&w->reader.loop, 0);
}

static void steps(struct world *w, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) step(w);
}

/* Longer than a rotated file is held open. */
static void settle(struct world *w)
{
    steps(w, 2 * FOLLOW_QUIET_MS / 10 + 200);
}

/* the world */

static void world_init(struct world *w, const char *parent)
{
    struct err err;
    memset(w, 0, sizeof(*w));
    snprintf(w->directory, sizeof(w->directory), "%s/weir-follow-XXXXXX", parent);
    assert_non_null(mkdtemp(w->directory));
    snprintf(w->path, sizeof(w->path), "%s/access.log", w->directory);
    rng_seed(&w->rng, 4);
    assert_int_equal(loop_init(&w->reader.loop, &budget, &err), 0);
    w->reader.loop.is_virtual = true;
    w->fd = w->old_fd = -1;
}

static void world_fini(struct world *w)
{
    char command[128];
    follow_close(w->reader.follow);
    loop_fini(&w->reader.loop);
    if (w->fd >= 0) close(w->fd);
    if (w->old_fd >= 0) close(w->old_fd);
    snprintf(command, sizeof(command), "rm -r %s", w->directory);
    assert_int_equal(system(command), 0);
}

static const char *name_of(struct world *w, const char *name)
{
    static _Thread_local char paths[4][512];
    static _Thread_local unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", w->directory, name);
    return path;
}

static int open_log(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void put(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void put_file(struct world *w, const char *name, const char *text)
{
    int fd = open_log(name_of(w, name));
    put(fd, text);
    close(fd);
}

static void write_record_to(struct world *w, int fd)
{
    char line[LINE_MAX_BYTES];
    assert_true(w->written < RECORDS_MAX);
    snprintf(line, sizeof(line), "record %u end\n", w->written++);
    put(fd, line);
}

static void write_records(struct world *w, uint32_t count)
{
    if (w->fd < 0) w->fd = open_log(w->path);
    for (uint32_t i = 0; i < count; i++) write_record_to(w, w->fd);
}

static void assert_each_once(const struct world *w)
{
    for (uint32_t i = 0; i < w->written; i++)
        if (w->reader.seen[i] != 1)
            fail_msg("record %u of %u arrived %u times", i, w->written, w->reader.seen[i]);
    assert_int_equal(w->reader.received, w->written);
    assert_int_equal(w->reader.malformed, 0);
}

/* access.log.1 becomes access.log.2 and so on; the oldest goes. */
static void shift(struct world *w)
{
    char from[160], to[160];
    for (unsigned i = KEPT; i > 0; i--) {
        snprintf(from, sizeof(from), "%s.%u", w->path, i);
        snprintf(to, sizeof(to), "%s.%u", w->path, i + 1);
        if (i == KEPT)
            unlink(from);
        else
            rename(from, to);
    }
}

static void rotate_by_rename(struct world *w)
{
    char to[160];
    shift(w);
    snprintf(to, sizeof(to), "%s.1", w->path);
    assert_int_equal(rename(w->path, to), 0);
    w->rotations++;
}

static void reopen(struct world *w)
{
    close(w->fd);
    w->fd = open_log(w->path);
}

static void copy_file(const char *from, const char *to)
{
    char bytes[1000];
    ssize_t n;
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open_log(to);
    assert_true(in >= 0);
    while ((n = read(in, bytes, sizeof(bytes))) > 0) assert_int_equal(write(out, bytes, (size_t)n), n);
    close(in);
    close(out);
}

static void rotate_by_copy(struct world *w)
{
    char to[160];
    shift(w);
    snprintf(to, sizeof(to), "%s.1", w->path);
    copy_file(w->path, to);
    assert_int_equal(truncate(w->path, 0), 0);
    w->rotations++;
}

/* one thing at a time */

static void records_that_are_there_and_that_come_arrive_once(void **state)
{
    struct world *w = *state;
    write_records(w, 3);
    start(w, "access.log");
    step(w);
    assert_int_equal(w->reader.received, 3);
    write_records(w, 2);
    steps(w, 2);
    assert_each_once(w);
    assert_int_equal(follow_lag_bytes(w->reader.follow), 0);
}

static void a_file_and_a_directory_that_come_later_are_followed(void **state)
{
    struct world *w = *state;
    start(w, "later/access.log");
    steps(w, 10);
    assert_int_equal(mkdir(name_of(w, "later"), 0700), 0);
    steps(w, 200);
    w->fd = open_log(name_of(w, "later/access.log"));
    write_records(w, 5);
    steps(w, 2);
    assert_each_once(w);
}

static void a_line_that_is_written_byte_by_byte_is_one_record(void **state)
{
    struct world *w = *state;
    start(w, "access.log");
    w->fd = open_log(w->path);
    for (const char *p = "record 0 end\nrecord 1 end\n"; *p; p++) {
        assert_int_equal(write(w->fd, p, 1), 1);
        steps(w, 2);
    }
    w->written = 2;
    assert_each_once(w);
}

static void from_the_end_only_what_comes_is_read_and_the_line_being_written_is_whole(void **state)
{
    struct world *w = *state;
    put_file(w, "access.log", "old\nolder\nrecord 0 e");
    start_with(w, "access.log", &(struct follow_options){ .is_from_end = true }, NULL);
    step(w);
    put_file(w, "access.log", "nd\n");
    put_file(w, "access-b.log", "not of the pattern\n");
    steps(w, 2);
    w->written = 1;
    assert_each_once(w);
}

static void work_in_a_turn_is_bounded_and_goes_on_by_itself(void **state)
{
    struct world *w = *state;
    write_records(w, 60000);
    struct stat st;
    assert_int_equal(fstat(w->fd, &st), 0);
    start_with(w, "access.log", &(struct follow_options){ .turn_bytes = FOLLOW_PIECE_BYTES }, NULL);
    step(w);
    const struct follow_counts *counts = follow_counts(w->reader.follow);
    assert_int_equal(counts->bytes, FOLLOW_PIECE_BYTES);
    assert_int_equal(w->reader.largest_piece, FOLLOW_PIECE_BYTES);
    assert_int_equal(follow_lag_bytes(w->reader.follow), (uint64_t)st.st_size - FOLLOW_PIECE_BYTES);
    steps(w, 10);
    assert_each_once(w);
}

static void lag_in_time_is_how_long_bytes_wait(void **state)
{
    struct world *w = *state;
    start_with(w, "access*.log", &(struct follow_options){ .turn_bytes = 1 }, NULL);
    for (unsigned i = 0; i < 5; i++) {
        char name[32];
        snprintf(name, sizeof(name), "access%u.log", i);
        put_file(w, name, "record 0 end\n");
    }
    step(w);
    assert_int_equal(follow_lag_ms(w->reader.follow), 0);
    assert_int_equal(follow_lag_bytes(w->reader.follow), 4 * 13);
    steps(w, 2);
    assert_int_equal(follow_lag_ms(w->reader.follow), 20);
    assert_int_equal(follow_lag_bytes(w->reader.follow), 2 * 13);
    steps(w, 2);
    assert_int_equal(follow_lag_ms(w->reader.follow), 0);
    assert_int_equal(follow_lag_bytes(w->reader.follow), 0);
}

static void a_renamed_file_is_read_until_its_writer_lets_go_and_then_closed(void **state)
{
    struct world *w = *state;
    start(w, "access.log");
    write_records(w, 2);
    steps(w, 2);
    rotate_by_rename(w);
    settle(w); /* nobody told the writer: it goes on */
    write_records(w, 2);
    steps(w, 2);
    assert_int_equal(w->reader.received, 4);
    assert_int_equal(w->reader.rotated, 1);
    w->old_fd = w->fd;
    w->fd = open_log(w->path);
    write_records(w, 1);
    write_record_to(w, w->old_fd);
    steps(w, 100);
    write_record_to(w, w->old_fd);
    steps(w, 2);
    assert_int_equal(follow_open_count(w->reader.follow), 2);
    settle(w);
    assert_each_once(w);
    assert_int_equal(follow_open_count(w->reader.follow), 1);
    assert_int_equal(w->reader.final, 1);
    assert_int_equal(follow_counts(w->reader.follow)->rotated, 1);
}

static void a_last_line_without_newline_is_a_record_once_its_file_is_done(void **state)
{
    struct world *w = *state;
    start(w, "access.log");
    put_file(w, "access.log", "record 0 end\nrecord 1 end");
    steps(w, 2);
    assert_int_equal(w->reader.received, 1);
    rotate_by_rename(w);
    put_file(w, "access.log", "record 2 end\n");
    settle(w);
    w->written = 3;
    assert_each_once(w);
}

static void a_deleted_file_is_let_go_in_the_end(void **state)
{
    struct world *w = *state;
    start(w, "access.log");
    write_records(w, 1);
    steps(w, 2);
    unlink(w->path);
    steps(w, 100);
    write_records(w, 1);
    steps(w, FOLLOW_DELETED_MS / 10 - 200);
    assert_int_equal(follow_open_count(w->reader.follow), 1);
    steps(w, 400);
    assert_int_equal(follow_open_count(w->reader.follow), 0);
    assert_each_once(w);
}

static void a_truncated_file_is_read_from_its_beginning(void **state)
{
    struct world *w = *state;
    start(w, "access.log");
    write_records(w, 3);
    steps(w, 2);
    assert_int_equal(ftruncate(w->fd, 0), 0);
    write_records(w, 1);
    steps(w, 2);
    assert_each_once(w);
    assert_int_equal(w->reader.truncated, 1);
    assert_int_equal(follow_counts(w->reader.follow)->truncated, 1);
}

static void a_file_truncated_and_grown_past_its_old_size_is_read_from_its_beginning(void **state)
{
    struct world *w = *state;
    start(w, "access.log");
    write_records(w, 3);
    steps(w, 2);
    assert_int_equal(ftruncate(w->fd, 0), 0);
    write_records(w, 100);
    steps(w, 2);
    assert_each_once(w);
    assert_int_equal(w->reader.truncated, 1);
}

static void what_was_not_read_before_a_truncation_is_read_from_the_copy(void **state)
{
    struct world *w = *state;
    start(w, "access.log");
    write_records(w, 3);
    steps(w, 2);
    write_records(w, 50);
    rotate_by_copy(w);
    write_records(w, 2);
    steps(w, 2);
    assert_each_once(w);
    assert_int_equal(follow_counts(w->reader.follow)->copies, 1);
}

static void a_copy_that_matches_the_pattern_is_not_read_again(void **state)
{
    struct world *w = *state;
    start(w, "access.log*");
    write_records(w, 100);
    steps(w, 2);
    copy_file(w->path, name_of(w, "access.log.1"));
    settle(w);
    assert_each_once(w);
    write_records(w, 1);
    assert_int_equal(ftruncate(w->fd, 0), 0); /* after a while, and one record is nowhere else */
    w->written--;
    write_records(w, 3);
    settle(w);
    assert_each_once(w);
}

static void hard_links_and_symbolic_links_are_one_file(void **state)
{
    struct world *w = *state;
    write_records(w, 3);
    assert_int_equal(link(w->path, name_of(w, "access-hard.log")), 0);
    assert_int_equal(symlink("access.log", name_of(w, "access-soft.log")), 0);
    assert_int_equal(symlink("nowhere", name_of(w, "access-broken.log")), 0);
    assert_int_equal(mkfifo(name_of(w, "access-pipe.log"), 0600), 0);
    start(w, "access*.log");
    steps(w, 2);
    write_records(w, 3);
    steps(w, 2);
    assert_each_once(w);
    assert_int_equal(follow_open_count(w->reader.follow), 1);
}

static void a_file_replaced_by_rename_is_another(void **state)
{
    struct world *w = *state;
    start(w, "access.log");
    write_records(w, 3);
    steps(w, 2);
    write_records(w, 1);
    close(w->fd);
    w->fd = open_log(name_of(w, "fresh"));
    write_records(w, 3);
    assert_int_equal(rename(name_of(w, "fresh"), w->path), 0);
    steps(w, 2);
    assert_each_once(w);
    settle(w);
    assert_int_equal(follow_open_count(w->reader.follow), 1);
}

static void several_rotations_between_two_looks_lose_nothing(void **state)
{
    struct world *w = *state;
    put_file(w, "access.log.7", "from before: not ours\n");
    start(w, "access.log");
    write_records(w, 1);
    steps(w, 2);
    for (unsigned i = 0; i < 4; i++) {
        rotate_by_rename(w);
        write_records(w, 1);
        reopen(w);
        write_records(w, 1);
    }
    settle(w);
    assert_each_once(w);
}

static void packed_files_are_passed_over(void **state)
{
    struct world *w = *state;
    put_file(w, "access.log.2.gz", "\x1f\x8b");
    put_file(w, "access.log.3.zst", "(\xb5/\xfd");
    write_records(w, 1);
    start(w, "access.log*");
    settle(w);
    assert_each_once(w);
}

static void more_files_than_the_limit_are_refused_and_counted(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < 5; i++) {
        char name[32];
        snprintf(name, sizeof(name), "access%u.log", i);
        put_file(w, name, "record 0 end\n");
    }
    start_with(w, "access*.log", &(struct follow_options){ .files_max = 3 }, NULL);
    step(w);
    assert_int_equal(w->reader.received, 3);
    assert_int_equal(follow_counts(w->reader.follow)->refused, 2);
}

static void rotated_files_that_were_read_make_way_for_new_ones(void **state)
{
    struct world *w = *state;
    char to[512];
    start_with(w, "access.log", &(struct follow_options){ .files_max = 4 }, NULL);
    for (unsigned round = 0; round < 20; round++) {
        write_records(w, 3);
        step(w);
        snprintf(to, sizeof(to), "%s-%u", w->path, 20260301 + round);
        assert_int_equal(rename(w->path, to), 0);
        reopen(w);
        settle(w);
    }
    write_records(w, 1);
    settle(w);
    assert_each_once(w);
    assert_int_equal(follow_counts(w->reader.follow)->refused, 0);
}

static void fewer_descriptors_than_files_are_shared_out_among_them(void **state)
{
    struct world *w = *state;
    char name[32];
    start_with(w, "access*.log", &(struct follow_options){ .open_max = 2 }, NULL);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 6; i++) {
            snprintf(name, sizeof(name), "access%u.log", i);
            int fd = open_log(name_of(w, name));
            write_record_to(w, fd);
            close(fd);
        }
        for (unsigned i = 0; i < 1200; i++) {
            step(w);
            assert_true(follow_open_count(w->reader.follow) <= 2);
        }
    }
    assert_each_once(w);
    assert_int_equal(w->reader.final, 0);
}

/* Each with some records, and access.log anew. */
static void rotate_at_once(struct world *w, unsigned rotations, uint32_t records)
{
    char to[512];
    for (unsigned i = 0; i < rotations; i++) {
        snprintf(to, sizeof(to), "%s-%u", w->path, 20260301 + i);
        assert_int_equal(rename(w->path, to), 0);
        reopen(w);
        write_records(w, records);
    }
}

static void files_that_wait_for_a_descriptor_do_not_wait_for_the_next_look(void **state)
{
    struct world *w = *state;
    write_records(w, 1);
    start(w, "access.log");
    step(w);
    rotate_at_once(w, 1000, 2);
    steps(w, FOLLOW_LOOK_MS / 2 / 10);
    assert_each_once(w);
}

static void a_descriptor_goes_on_when_a_file_was_read_over_many_turns(void **state)
{
    struct world *w = *state;
    write_records(w, 1);
    start_with(w, "access.log", &(struct follow_options){ .open_max = 8, .old_max = 4, .turn_bytes = 1000 },
               NULL);
    step(w);
    rotate_at_once(w, 40, 200);
    uint64_t bytes = 40 * 200 * sizeof("record 1000 end");
    steps(w, (uint32_t)(bytes / 1000) + FOLLOW_LOOK_MS / 10);
    assert_each_once(w);
}

static void where_no_descriptor_can_be_freed_looking_does_not_go_on(void **state)
{
    struct world *w = *state;
    char name[32];
    int fds[4];
    start_with(w, "access*.log", &(struct follow_options){ .open_max = 3 }, NULL);
    for (unsigned i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), "access%u.log", i);
        fds[i] = open_log(name_of(w, name));
    }
    for (unsigned i = 0; i < 1000; i++) {
        for (unsigned k = 0; k < 4; k++) write_record_to(w, fds[k]);
        step(w);
    }
    uint64_t refused = follow_counts(w->reader.follow)->refused;
    assert_in_range(refused, 5, 1000 * 10 / FOLLOW_LOOK_MS + 5);
    for (unsigned k = 0; k < 4; k++) close(fds[k]);
    settle(w);
    assert_each_once(w);
}

static void without_inotify_looks_find_everything(void **state)
{
    struct world *w = *state;
    start(w, "access.log");
    close(w->reader.loop.epoll_fd); /* nothing that inotify has to say is heard */
    w->reader.loop.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    write_records(w, 3);
    steps(w, 110);
    rotate_by_rename(w);
    write_records(w, 1);
    reopen(w);
    write_records(w, 1);
    steps(w, 110);
    assert_each_once(w);
}

static void patterns_that_cannot_be_followed_are_refused(void **state)
{
    struct world *w = *state;
    struct err err;
    static const char *const patterns[] = { "/var/log/", "", "/var/*/access.log" };
    for (unsigned i = 0; i < sizeof(patterns) / sizeof(*patterns); i++) {
        struct follow *f = NULL;
        assert_int_equal(follow_open(&f, &w->reader.loop, patterns[i], NULL, &events, w, NULL, &err), -1);
        assert_non_null(strstr(err.text, patterns[i]));
    }
    start(w, "access.log");
}

/* a thousand rotations */

enum scheme { BY_RENAME, BY_COPY, BY_DELETION, SCHEMES };

static void write_in_two(struct world *w)
{
    char line[LINE_MAX_BYTES];
    size_t len = (size_t)snprintf(line, sizeof(line), "record %u end\n", w->written++);
    size_t cut = 1 + rng_below(&w->rng, (uint32_t)len - 1);
    assert_int_equal(write(w->fd, line, cut), cut);
    steps(w, rng_below(&w->rng, 3));
    assert_int_equal(write(w->fd, line + cut, len - cut), len - cut);
}

static void write_a_few(struct world *w)
{
    uint32_t count = rng_below(&w->rng, 12);
    for (uint32_t i = 0; i < count; i++) {
        if (w->old_fd >= 0 && rng_below(&w->rng, 2)) write_record_to(w, w->old_fd);
        if (rng_below(&w->rng, 8) == 0)
            write_in_two(w);
        else
            write_records(w, 1);
        if (rng_below(&w->rng, 4) == 0) step(w);
    }
}

/* The writer hears of it a little later, and one of its processes later still. */
static void hear_of_rotation(struct world *w)
{
    if (rng_below(&w->rng, 2)) write_a_few(w);
    if (w->old_fd >= 0) close(w->old_fd);
    w->old_fd = w->fd;
    w->fd = open_log(w->path);
}

static void rotate(struct world *w, enum scheme scheme)
{
    if (scheme == BY_RENAME) {
        rotate_by_rename(w);
        hear_of_rotation(w);
    } else if (scheme == BY_COPY) {
        rotate_by_copy(w);
    } else {
        steps(w, 3); /* what was never seen did not stay */
        unlink(w->path);
        w->rotations++;
        hear_of_rotation(w);
    }
}

/* A deleted file that is quiet for longer than FOLLOW_QUIET_MS and has a successor is not waited for. */
static void let_go_and_settle(struct world *w)
{
    if (w->old_fd >= 0) close(w->old_fd);
    w->old_fd = -1;
    settle(w);
}

static void run_rotations(struct world *w, const char *names, enum scheme scheme)
{
    w->fd = open_log(w->path);
    start(w, names);
    while (w->rotations < 1000) {
        write_a_few(w);
        rotate(w, scheme);
        if (rng_below(&w->rng, 100) == 0) let_go_and_settle(w);
        steps(w, rng_below(&w->rng, 6));
    }
    settle(w);
    assert_each_once(w);
}

static void a_thousand_renames_lose_and_double_nothing(void **state)
{
    run_rotations(*state, "access.log", BY_RENAME);
}

static void a_thousand_renames_within_the_pattern_lose_and_double_nothing(void **state)
{
    run_rotations(*state, "access.log*", BY_RENAME);
}

static void a_thousand_copies_with_truncation_lose_and_double_nothing(void **state)
{
    run_rotations(*state, "access.log", BY_COPY);
}

static void a_thousand_copies_within_the_pattern_lose_and_double_nothing(void **state)
{
    run_rotations(*state, "access.log*", BY_COPY);
}

static void a_thousand_deletions_lose_and_double_nothing(void **state)
{
    run_rotations(*state, "access.log", BY_DELETION);
}

/* restarts */

struct checkpoint {
    struct places places;
    uint16_t seen[RECORDS_MAX];
    uint64_t received;
};

static void save(struct world *w, struct checkpoint *c)
{
    struct err err;
    places_fini(&c->places);
    assert_int_equal(follow_places(w->reader.follow, &c->places, &err), 0);
    memcpy(c->seen, w->reader.seen, sizeof(c->seen));
    c->received = w->reader.received;
}

/* Killed: what came after the checkpoint was never counted. */
static void stop(struct world *w)
{
    follow_close(w->reader.follow);
    w->reader.follow = NULL;
}

static void start_again(struct world *w, const char *names, const struct checkpoint *c)
{
    memcpy(w->reader.seen, c->seen, sizeof(c->seen));
    w->reader.received = c->received;
    start_with(w, names, NULL, &c->places);
}

static void run_restarts(struct world *w, const char *names, enum scheme scheme)
{
    struct checkpoint *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    w->fd = open_log(w->path);
    start(w, names);
    save(w, c);
    for (unsigned i = 0; i < 1000; i++) {
        write_a_few(w);
        if (rng_below(&w->rng, 3) == 0) rotate(w, scheme);
        steps(w, rng_below(&w->rng, 3));
        if (rng_below(&w->rng, 2) == 0) save(w, c);
        if (rng_below(&w->rng, 4) != 0) continue;
        stop(w);
        if (rng_below(&w->rng, 2) == 0) write_records(w, rng_below(&w->rng, 5));
        start_again(w, names, c);
    }
    settle(w);
    assert_each_once(w);
    places_fini(&c->places);
    free(c);
}

static void restarts_between_renames_lose_and_double_nothing(void **state)
{
    run_restarts(*state, "access.log", BY_RENAME);
}

static void restarts_between_renames_within_the_pattern_lose_and_double_nothing(void **state)
{
    run_restarts(*state, "access.log*", BY_RENAME);
}

static void restarts_between_truncations_lose_and_double_nothing(void **state)
{
    run_restarts(*state, "access.log", BY_COPY);
}

static void restarts_between_truncations_within_the_pattern_lose_and_double_nothing(void **state)
{
    run_restarts(*state, "access.log*", BY_COPY);
}

/* Another pattern goes on from the places of the one that is read. */
static void change_pattern(struct world *w, const char *after, bool is_from_end)
{
    char before[64];
    struct places places;
    struct err err;
    assert_non_null(follow_looked_for(w->reader.follow));
    snprintf(before, sizeof(before), "%s", follow_looked_for(w->reader.follow));
    assert_int_equal(follow_places(w->reader.follow, &places, &err), 0);
    places.names = before;
    stop(w);
    start_with(w, after, &(struct follow_options){ .is_from_end = is_from_end }, &places);
    places_fini(&places);
}

static void what_another_pattern_brings_is_read_as_at_a_start(void **state)
{
    struct world *w = *state;
    int other = open_log(name_of(w, "other.log"));
    put_file(w, "access.log.1", "rotated before\n");
    put_file(w, "other.log.1", "rotated before\n");
    put_file(w, "third.log.1", "rotated before\n");
    put(other, "old\nrecord 1 e");
    start_with(w, "access.log", &(struct follow_options){ .is_from_end = true }, NULL);
    step(w);
    write_records(w, 1);
    steps(w, 2);
    put_file(w, "other.log.2", "rotated since\n");
    change_pattern(w, "other.log", true);
    steps(w, 200);
    assert_each_once(w);
    put(other, "nd\n");
    w->written++;
    steps(w, 2);
    assert_each_once(w);
    write_record_to(w, other);
    put_file(w, "third.log", "record 3 end\n");
    w->written++;
    change_pattern(w, "[ot]*.log", false);
    steps(w, 200);
    assert_each_once(w);
    rename(name_of(w, "third.log"), name_of(w, "third.log.2"));
    put_file(w, "third.log", "record 4 end\n");
    w->written++;
    settle(w);
    assert_each_once(w);
    close(other);
}

static void a_pattern_that_nobody_looked_for_brings_nothing(void **state)
{
    struct world *w = *state;
    put_file(w, "other.log", "old\n");
    start(w, "access.log");
    assert_null(follow_looked_for(w->reader.follow));
    steps(w, 2);
    assert_string_equal(follow_looked_for(w->reader.follow), "access.log");
    write_records(w, 1);
    change_pattern(w, "other.log", true);
    assert_string_equal(follow_looked_for(w->reader.follow), "access.log");
    change_pattern(w, "*.log", true);
    steps(w, 200);
    assert_each_once(w);
}

static void what_came_before_the_pattern_became_another_is_read_whole(void **state)
{
    struct world *w = *state;
    write_records(w, 1);
    start_with(w, "access.log", &(struct follow_options){ .is_from_end = true }, NULL);
    steps(w, 2);
    w->written = 0; /* the first was there before */
    write_records(w, 3);
    for (unsigned i = 0; i < 2; i++) { /* no look sees the second */
        rotate_by_rename(w);
        reopen(w);
        write_records(w, 3);
    }
    change_pattern(w, "acc*.log", true);
    settle(w);
    assert_each_once(w);
}

static void a_restart_at_every_byte_loses_and_doubles_nothing(void **state)
{
    struct world *w = *state;
    struct checkpoint *c = calloc(1, sizeof(*c));
    static const char text[] = "record 0 end\nrecord 1 end\nrecord 2 end\n";
    assert_non_null(c);
    w->fd = open_log(w->path);
    start(w, "access.log");
    for (const char *p = text; *p; p++) {
        assert_int_equal(write(w->fd, p, 1), 1);
        steps(w, 2);
        save(w, c);
        stop(w);
        if (p - text == 20) rotate_by_rename(w);
        start_again(w, "access.log", c);
        step(w);
    }
    w->written = 3;
    settle(w);
    assert_each_once(w);
    places_fini(&c->places);
    free(c);
}

static void a_file_that_took_over_an_inode_is_read_from_its_beginning(void **state)
{
    struct world *w = *state;
    struct checkpoint *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    start(w, "access.log");
    write_records(w, 3);
    steps(w, 2);
    save(w, c);
    stop(w);
    /* As a file with the same inode would look: other bytes, and more of them. */
    assert_int_equal(ftruncate(w->fd, 0), 0);
    write_records(w, 10);
    start_again(w, "access.log", c);
    steps(w, 2);
    assert_each_once(w);
    places_fini(&c->places);
    free(c);
}

/* a writer of its own, in real time */

struct writer {
    struct world *world;
    pthread_mutex_t lock;
    pthread_cond_t is_read;
    uint64_t received;
    bool is_done;
};

/* No further ahead than the rotated files that are kept: what is deleted unread is lost to anybody. */
static void wait_for_reader(struct writer *t, uint32_t ahead)
{
    pthread_mutex_lock(&t->lock);
    while (t->received + ahead < t->world->written) pthread_cond_wait(&t->is_read, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

static void *write_and_rotate(void *context)
{
    struct writer *t = context;
    struct world *w = t->world;
    while (w->rotations < 200) {
        write_records(w, 1 + rng_below(&w->rng, 60));
        if (rng_below(&w->rng, 2)) {
            wait_for_reader(t, 60); /* two truncations in a row that nobody looked at are one */
            rotate_by_copy(w);
        } else {
            rotate_by_rename(w);
            write_records(w, rng_below(&w->rng, 20));
            reopen(w);
        }
        wait_for_reader(t, 400);
    }
    pthread_mutex_lock(&t->lock);
    t->is_done = true;
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* true: everything was written and read. */
static bool report(struct writer *t, uint64_t received)
{
    pthread_mutex_lock(&t->lock);
    t->received = received;
    bool is_over = t->is_done && received >= t->world->written;
    pthread_cond_signal(&t->is_read);
    pthread_mutex_unlock(&t->lock);
    return is_over;
}

static void a_writer_that_rotates_at_full_speed_loses_and_doubles_nothing(void **state)
{
    struct world *w = *state;
    struct writer t = { .world = w, .lock = PTHREAD_MUTEX_INITIALIZER, .is_read = PTHREAD_COND_INITIALIZER };
    pthread_t thread;
    w->reader.loop.is_virtual = false;
    w->fd = open_log(w->path);
    start(w, "access.log");
    loop_turn(&w->reader.loop, 0);
    assert_int_equal(pthread_create(&thread, NULL, write_and_rotate, &t), 0);
    uint64_t end_ns = clock_now_ns() + 60 * NS_PER_S;
    while (!report(&t, w->reader.received) && clock_now_ns() < end_ns) loop_turn(&w->reader.loop, 50);
    report(&t, UINT64_MAX / 2); /* out of time: it need not wait, and the test fails */
    pthread_join(thread, NULL);
    assert_each_once(w);
}

static int set_up_in(void **state, const char *parent)
{
    struct world *w = malloc(sizeof(*w));
    assert_non_null(w);
    world_init(w, parent);
    *state = w;
    return 0;
}

static int set_up(void **state)
{
    return set_up_in(state, "/tmp");
}

/* File systems on disk make a file that is truncated wait for the disk. */
static int set_up_in_memory(void **state)
{
    return set_up_in(state, access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
}

static int tear_down(void **state)
{
    world_fini(*state);
    free(*state);
    return 0;
}

struct ender {
    struct loop_fd io;
    struct world *w;
};

static void on_end(struct loop_fd *f, uint32_t events_of_it)
{
    struct ender *e = container_of(f, struct ender, io);
    (void)events_of_it;
    follow_close(e->w->reader.follow);
    e->w->reader.follow = NULL;
}

/* As a source that goes while its log is written: the system has told of both in one. */
static void what_ends_in_a_turn_that_has_news_of_it_is_not_told(void **state)
{
    struct world *w = *state;
    struct ender e = { .io = { .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .on_ready = on_end }, .w = w };
    uint64_t one = 1;
    start(w, "access.log");
    write_records(w, 1);
    steps(w, 100);
    assert_int_equal(loop_fd_register(&w->reader.loop, &e.io, EPOLLIN), 0);
    assert_int_equal(write(e.io.fd, &one, sizeof(one)), sizeof(one)); /* first */
    write_records(w, 1);
    step(w);
    assert_null(w->reader.follow);
    assert_int_equal(w->reader.received, 1);
    loop_fd_close(&w->reader.loop, &e.io);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_IN_MEMORY(name) cmocka_unit_test_setup_teardown(name, set_up_in_memory, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(records_that_are_there_and_that_come_arrive_once),
        TEST(a_file_and_a_directory_that_come_later_are_followed),
        TEST(a_line_that_is_written_byte_by_byte_is_one_record),
        TEST(from_the_end_only_what_comes_is_read_and_the_line_being_written_is_whole),
        TEST(work_in_a_turn_is_bounded_and_goes_on_by_itself),
        TEST(lag_in_time_is_how_long_bytes_wait),
        TEST(a_renamed_file_is_read_until_its_writer_lets_go_and_then_closed),
        TEST(a_last_line_without_newline_is_a_record_once_its_file_is_done),
        TEST(a_deleted_file_is_let_go_in_the_end),
        TEST(a_truncated_file_is_read_from_its_beginning),
        TEST(a_file_truncated_and_grown_past_its_old_size_is_read_from_its_beginning),
        TEST(what_was_not_read_before_a_truncation_is_read_from_the_copy),
        TEST(a_copy_that_matches_the_pattern_is_not_read_again),
        TEST(hard_links_and_symbolic_links_are_one_file),
        TEST(a_file_replaced_by_rename_is_another),
        TEST(several_rotations_between_two_looks_lose_nothing),
        TEST(packed_files_are_passed_over),
        TEST(more_files_than_the_limit_are_refused_and_counted),
        TEST(rotated_files_that_were_read_make_way_for_new_ones),
        TEST(fewer_descriptors_than_files_are_shared_out_among_them),
        TEST(files_that_wait_for_a_descriptor_do_not_wait_for_the_next_look),
        TEST(a_descriptor_goes_on_when_a_file_was_read_over_many_turns),
        TEST(where_no_descriptor_can_be_freed_looking_does_not_go_on),
        TEST(without_inotify_looks_find_everything),
        TEST(patterns_that_cannot_be_followed_are_refused),
        TEST(a_thousand_renames_lose_and_double_nothing),
        TEST(a_thousand_renames_within_the_pattern_lose_and_double_nothing),
        TEST_IN_MEMORY(a_thousand_copies_with_truncation_lose_and_double_nothing),
        TEST_IN_MEMORY(a_thousand_copies_within_the_pattern_lose_and_double_nothing),
        TEST(a_thousand_deletions_lose_and_double_nothing),
        TEST(restarts_between_renames_lose_and_double_nothing),
        TEST_IN_MEMORY(restarts_between_renames_within_the_pattern_lose_and_double_nothing),
        TEST(restarts_between_truncations_lose_and_double_nothing),
        TEST_IN_MEMORY(restarts_between_truncations_within_the_pattern_lose_and_double_nothing),
        TEST(what_another_pattern_brings_is_read_as_at_a_start),
        TEST(a_pattern_that_nobody_looked_for_brings_nothing),
        TEST(what_came_before_the_pattern_became_another_is_read_whole),
        TEST(a_restart_at_every_byte_loses_and_doubles_nothing),
        TEST(a_file_that_took_over_an_inode_is_read_from_its_beginning),
        TEST(a_writer_that_rotates_at_full_speed_loses_and_doubles_nothing),
        TEST(what_ends_in_a_turn_that_has_news_of_it_is_not_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
