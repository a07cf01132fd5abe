#include "command/logs_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "logs/time_search.h"
#include "logs/unpack.h"

#define PIECE_BYTES (256u << 10)
#define HEAD_BYTES (16u << 10)
#define PROGRESS_BYTES (64u << 20)

/* reading */

struct reading {
    struct logs_job *job;
    struct intake *intake;
    bool is_past; /* all that follows in this file is too late */
};

static enum log_field field_of(const void *intake, struct slice name)
{
    return intake_field(intake, name);
}

static void on_entry(void *context, struct log_entry *e)
{
    struct reading *r = context;
    struct logs_job *job = r->job;
    if (job->to_s < UINT64_MAX - TIME_SEARCH_SLACK_S && e->time_s > job->to_s + TIME_SEARCH_SLACK_S)
        r->is_past = true;
    if (job->is_stopped) return;
    bool is_taken = e->time_s >= job->from_s && e->time_s <= job->to_s &&
                    (!job->filter || filter_takes(job->filter, e));
    if (is_taken)
        job->on_entry(job->context, e);
    else if (job->on_other)
        job->on_other(job->context, e);
}

static void on_malformed_line(void *context, struct slice line)
{
    struct reading *r = context;
    r->job->on_malformed(r->job->context, line);
}

static const struct intake_events events = { on_entry, on_malformed_line };

static void note(struct reading *r, const struct line_format *lines, const char *guess, const char *path)
{
    struct logs_job *job = r->job;
    char text[512];
    struct text t = text_over(text, sizeof(text));
    struct slice unsaid = SLICE_NONE;
    if (guess && job->on_note) {
        text_printf(&t, "%s: read as '%s'; --log-format says another", path, guess);
        job->on_note(job->context, text_cstr(&t));
    }
    if (job->filter) filter_bind(job->filter, field_of, r->intake);
    if (job->filter && lines) unsaid = filter_unsaid(job->filter, lines);
    if (!unsaid.len || !job->on_note) return;
    t.len = 0;
    text_printf(&t, "%s: its lines do not say %.*s, so no comparison with that holds", path,
                SLICE_ARGS(unsaid));
    job->on_note(job->context, text_cstr(&t));
}

static int start_reading(struct reading *r, struct slice piece, struct log_format *format, const char *path,
                         struct err *err)
{
    *format = *r->job->format;
    if (format->is_auto && log_format_guess(piece, format, path, err) < 0) return -1;
    const struct line_format *lines = format->is_json ? NULL : &format->lines;
    if (intake_new(&r->intake, lines, &events, r, err) < 0) return -1;
    note(r, lines, format->guess, path);
    return 0;
}

static int open_file(const char *path, uint64_t *size, struct err *err)
{
    struct stat st;
    int fd = strcmp(path, "-") == 0 ? dup(0) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_set(err, "cannot open %s: %s", path, strerror(errno));
    if (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode)) { /* a pipe is read as it comes */
        close(fd);
        return err_set(err, "%s is a directory", path);
    }
    *size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    return fd;
}

/* Nothing but what a writer left out which went on where it was after its file was truncated. */
static bool is_hole(struct slice piece)
{
    return !piece.data[0] && memcmp(piece.data, piece.data + 1, piece.len - 1) == 0;
}

static int feed_all(struct reading *r, struct unpack *u, char *memory, const char *path, uint64_t size,
                    struct err *err)
{
    struct logs_job *job = r->job;
    struct log_format *format = malloc(sizeof(*format));
    uint64_t said = job->bytes;
    size_t got = 0;
    int result = 0;
    if (!format) return err_set(err, "out of memory");
    while (result == 0 && !job->is_stopped && !r->is_past) {
        if ((result = unpack_read(u, memory, PIECE_BYTES, &got, err)) < 0 || !got) break;
        struct slice piece = { memory, got };
        if (!r->intake && is_hole(piece)) continue;
        if (!r->intake && (result = start_reading(r, piece, format, path, err)) < 0) break;
        if (job->filter) filter_bind(job->filter, field_of, r->intake);
        if (job->on_names) job->on_names(job->context, field_of, r->intake);
        intake_feed(r->intake, piece);
        job->bytes += got;
        if (job->on_progress && job->bytes - said >= PROGRESS_BYTES) {
            job->on_progress(job->context, unpack_consumed(u), size);
            said = job->bytes;
        }
    }
    if (r->intake) intake_end(r->intake);
    intake_free(r->intake);
    free(format);
    return result;
}

/* A plain file that is sorted by time is read from where `from_s` begins. */
static int seek(const struct logs_job *job, int fd, uint64_t size, const char *path, struct err *err)
{
    static const char packed[2][4] = { "\x1f\x8b", "\x28\xb5\x2f\xfd" };
    char head[HEAD_BYTES + INTAKE_SLACK];
    ssize_t got = job->from_s && size ? pread(fd, head, HEAD_BYTES, 0) : 0;
    if (got < 4 || memcmp(head, packed[0], 2) == 0 || memcmp(head, packed[1], 4) == 0) return 0;
    struct log_format *format = malloc(sizeof(*format));
    uint64_t offset = 0;
    if (!format) return err_set(err, "out of memory");
    *format = *job->format;
    int result = format->is_auto ? log_format_guess((struct slice){ head, (size_t)got }, format, path, err)
                                 : 0;
    if (result == 0 && !format->is_json)
        result = time_search(fd, size, &format->lines, job->from_s, &offset, err);
    free(format);
    if (result == 0 && lseek(fd, (off_t)offset, SEEK_SET) < 0)
        return err_set(err, "cannot seek in %s: %s", path, strerror(errno));
    return result;
}

int logs_file_read(struct logs_job *job, const char *path, struct err *err)
{
    uint64_t size = 0;
    struct reading r = { .job = job };
    struct unpack *u = NULL;
    int fd = open_file(path, &size, err);
    if (fd < 0) return -1;
    char *memory = malloc(PIECE_BYTES + INTAKE_SLACK);
    int result = memory ? seek(job, fd, size, path, err) : err_set(err, "out of memory");
    if (result == 0) result = unpack_new(&u, fd, path, err);
    if (result == 0) result = feed_all(&r, u, memory, path, size, err);
    unpack_free(u);
    free(memory);
    close(fd);
    return result;
}
