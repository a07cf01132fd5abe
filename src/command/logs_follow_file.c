#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/printable.h"
#include "command/logs_follow.h"
#include "logs/follow.h"
#include "logs/intake.h"
#include "logs/log_format.h"
#include "logs/tap.h"
#include "net/loop.h"

#define MEMORY_BYTES (64u << 20)
#define TURN_MS 200
#define HEAD_BYTES (16u << 10)

/* The files of one pattern, followed by this process alone. */
struct files {
    const char *path;
    struct log_format format;
    struct tap *tap;
    void (*on_event)(void *context, struct slice bytes);
    void *context;
    struct err fault;
    bool has_failed;
};

static volatile sig_atomic_t is_interrupted;

static void on_signal(int number)
{
    (void)number;
    is_interrupted = 1;
}

static enum log_field field_of(const void *intake, struct slice name)
{
    return intake_field(intake, name);
}

/* Handed on at once: the tap's bounds are for those who look at a server. */
static void on_entry(void *context, struct log_entry *e)
{
    struct files *f = context;
    size_t len;
    f->tap->taken = 0;
    tap_offer(f->tap, e);
    char *data = tap_fetch(f->tap, &len);
    if (data) f->on_event(f->context, (struct slice){ data, len });
    free(data);
}

static void on_malformed_line(void *context, struct slice line)
{
    (void)context;
    char memory[512];
    struct text t = text_over(memory, sizeof(memory));
    line.len = line.len < 100 ? line.len : 100;
    printable_add(&t, line);
    fprintf(stderr, "weir logs follow: this is no record: %.*s\n", (int)t.len, t.data);
}

static const struct intake_events intake_events = { on_entry, on_malformed_line };

static struct intake *intake_of(struct files *f, struct follow_file *file, struct slice piece)
{
    void **seat = follow_seat(file);
    if (*seat) return *seat;
    struct log_format *format = malloc(sizeof(*format));
    struct intake *in = NULL;
    int result = format ? 0 : err_set(&f->fault, "out of memory");
    if (result == 0) *format = f->format;
    /* The text of a compiled format is read as long as it is used: so the one that was guessed is kept. */
    if (result == 0 && format->is_auto && log_format_guess(piece, format, f->path, &f->fault) == 0)
        f->format = *format;
    else if (result == 0 && format->is_auto)
        result = -1;
    free(format);
    const struct line_format *lines = f->format.is_json ? NULL : &f->format.lines;
    if (result == 0) result = intake_new(&in, lines, &intake_events, f, &f->fault);
    if (result < 0) f->has_failed = true;
    *seat = in;
    return in;
}

static void on_data(void *context, struct follow_file *file, struct slice piece)
{
    struct files *f = context;
    struct intake *in = intake_of(f, file, piece);
    if (!in) return;
    if (f->tap->filter) filter_bind(f->tap->filter, field_of, in);
    intake_feed(in, piece);
    follow_consumed(file, follow_offset(file) - intake_pending(in));
}

static void on_rotated(void *context, struct follow_file *file)
{
    (void)context;
    (void)file;
}

static void on_truncated(void *context, struct follow_file *file)
{
    (void)context;
    if (*follow_seat(file)) intake_reset(*follow_seat(file));
}

static void on_gone(void *context, struct follow_file *file, bool is_final)
{
    (void)context;
    struct intake *in = *follow_seat(file);
    if (in && is_final) intake_end(in);
    intake_free(in);
}

static const struct follow_events follow_events = { on_data, on_rotated, on_truncated, on_gone };

/* What is there tells the format; what comes may begin with part of a line. */
static int guess_format(struct files *f, struct err *err)
{
    char head[HEAD_BYTES + INTAKE_SLACK];
    FILE *file = f->format.is_auto && !strpbrk(f->path, "*?[") ? fopen(f->path, "re") : NULL;
    size_t len = file ? fread(head, 1, HEAD_BYTES, file) : 0;
    if (file) fclose(file);
    return len ? log_format_guess((struct slice){ head, len }, &f->format, f->path, err) : 0;
}

static int run_files(struct files *f, struct loop *l, struct err *err)
{
    struct follow *follow = NULL;
    struct follow_options options = { .is_from_end = true };
    if (follow_open(&follow, l, f->path, &options, &follow_events, f, NULL, err) < 0) return EX_USAGE;
    while (!is_interrupted && !f->has_failed && !ferror(stdout)) loop_turn(l, TURN_MS);
    follow_close(follow);
    if (!f->has_failed) return EX_OK;
    *err = f->fault;
    return EX_DATAERR;
}

int logs_follow_file(const struct logs_follow_file *what, struct err *err)
{
    struct budget budget = { .limit = MEMORY_BYTES };
    struct filter *filter = NULL;
    struct loop loop;
    struct files *f = calloc(1, sizeof(*f));
    int code = EX_USAGE;
    if (!f || loop_init(&loop, &budget, err) < 0) {
        free(f);
        return EX_OSERR;
    }
    f->path = what->path;
    f->on_event = what->on_event;
    f->context = what->context;
    int result = log_format_parse(&f->format, what->log_format ? what->log_format : "auto", err);
    if (result < 0) err_prefix(err, "--log-format");
    if (result == 0) result = guess_format(f, err);
    if (result == 0 && what->where && (result = filter_compile(&filter, slice_of(what->where), err)) < 0)
        err_prefix(err, "--where");
    if (result == 0 && (f->tap = tap_new(0, filter))) {
        struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        code = run_files(f, &loop, err);
    }
    tap_free(f->tap);
    loop_fini(&loop);
    free(f);
    return code;
}
