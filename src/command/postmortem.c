#include "command/postmortem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/json.h"
#include "crash/core_file.h"
#include "crash/core_write.h"
#include "record/flight_ring.h"

#define CONFIG_MAX (16u << 20)
#define JSON_MAX ((size_t)256 << 20)
#define RECORDS_PRESET 20u
#define COPY_MAX (1u << 30)

struct postmortem_options {
    const char *core;
    uint32_t pid; /* 0: not given */
    uint32_t records_max;
    bool is_json;
};

static const struct option_row options[] = {
    { OPTION_U32, 'p', .name = "pid", .argument = "N", .offset = offsetof(struct postmortem_options, pid),
      .min = 1, .max = INT32_MAX, .help = "a living process" },
    { OPTION_U32, 'r', .name = "records", .argument = "N",
      .offset = offsetof(struct postmortem_options, records_max), .max = FLIGHT_RING_RECORDS,
      .help = "so many of each worker that ended last, 0 to 4096; 20 unless given" },
    { OPTION_FLAG, .name = "json", .offset = offsetof(struct postmortem_options, is_json),
      .help = "as JSON" },
    { 0 },
};

const struct syntax postmortem_syntax = {
    .command = "postmortem",
    .usage =
        "postmortem CORE [--records N] [--json]\n"
        "       weir postmortem --pid N [--records N] [--json]\n\n"
        "Tells what a core file of weir has: the signal, threads with their stacks, the exchanges that were "
        "going on, what\n"
        "ended last, and the configuration in force. Needs no symbols, but for all that is weir's own the "
        "same build.\n"
        "With --pid the same of a living weir, which stands still for some milliseconds.\n",
    .options = options,
    .notes = "Exit codes: 0 told, 64 wrong usage, 65 no core file or not weir's or of another build, 71 the "
             "system "
             "refused.\n",
};

/* what there is */

static char *read_config(const struct postmortem *p)
{
    uint64_t len = p->anchor.config_len;
    char *text = p->anchor.config && len && len < CONFIG_MAX ? malloc(len + 1) : NULL;
    if (!text) return NULL;
    if (!memory_read(&p->image->memory, p->anchor.config, text, len)) {
        free(text);
        return NULL;
    }
    text[len] = 0;
    for (char *c = text; *c; c++)
        if ((*c < ' ' && *c != '\n') || *c == 127) *c = '?';
    return text;
}

/* Read once: there may be very many threads. */
static void read_worker_threads(struct postmortem *p)
{
    struct remains_worker w;
    p->worker_threads = p->proxy.worker_count ? calloc(p->proxy.worker_count, sizeof(*p->worker_threads))
                                              : NULL;
    for (uint32_t i = 0; p->worker_threads && i < p->proxy.worker_count; i++)
        if (remains_find_worker(&p->image->memory, &p->proxy, i, &w)) p->worker_threads[i] = w.thread;
}

void postmortem_init(struct postmortem *p, const struct image *image, bool is_living, uint32_t records_max)
{
    struct err err = { "" };
    *p = (struct postmortem){ .image = image, .is_living = is_living, .records_max = records_max };
    p->stacks = image_stacks_new(image, is_living);
    if (!anchor_find(image, &p->anchor))
        err_set(&err,
                "there is nothing of weir's own in it: it is another program's, or weir had not started yet");
    else if (anchor_check(&p->anchor, &err) == 0)
        p->has_anchor = true;
    memcpy(p->note, err.text, sizeof(p->note));
    if (!p->has_anchor) return;
    p->config = read_config(p);
    if (!p->anchor.proxy || !remains_find_proxy(&image->memory, p->anchor.proxy, &p->proxy))
        p->proxy = (struct remains_proxy){ 0 };
    read_worker_threads(p);
}

void postmortem_fini(struct postmortem *p)
{
    free(p->config);
    free(p->worker_threads);
    image_stacks_free(p->stacks);
    *p = (struct postmortem){ 0 };
}

const char *postmortem_thread_name(const struct postmortem *p, const struct image_thread *t, char out[32])
{
    uint64_t thread = registers_thread(&t->registers);
    for (uint32_t i = 0; thread && p->worker_threads && i < p->proxy.worker_count; i++) {
        if (p->worker_threads[i] != thread) continue;
        snprintf(out, 32, "weir/%u", i);
        return out;
    }
    return t->tid == p->image->pid ? p->image->program : NULL;
}

/* the command */

static char *print(const struct postmortem *p, bool is_json, size_t *len)
{
    char *text = NULL;
    if (is_json) {
        struct json j;
        json_init(&j, JSON_MAX, true);
        postmortem_print_json(p, &j);
        text = json_take(&j, len);
        json_fini(&j);
        return text;
    }
    FILE *out = open_memstream(&text, len);
    if (!out) return NULL;
    postmortem_print_text(p, out);
    fclose(out);
    return text;
}

static int say_postmortem(const struct postmortem *p, char *text, size_t len, bool is_json)
{
    if (!text) {
        fputs("weir postmortem: out of memory\n", stderr);
        return EX_OSERR;
    }
    bool is_written = fwrite(text, 1, len, stdout) == len && (!is_json || fputc('\n', stdout) != EOF);
    free(text);
    if (p->note[0]) fprintf(stderr, "weir postmortem: %s\n", p->note);
    if (!is_written || fflush(stdout) == EOF) return EX_IOERR;
    return p->has_anchor ? EX_OK : EX_DATAERR;
}

static int fail_postmortem(int code, const struct err *err)
{
    fprintf(stderr, "weir postmortem: %s\n", err->text);
    return code;
}

static int tell_image(const struct image *image, bool is_living, const struct postmortem_options *o)
{
    struct postmortem p;
    size_t len = 0;
    postmortem_init(&p, image, is_living, o->records_max);
    char *text = print(&p, o->is_json, &len);
    int code = say_postmortem(&p, text, len, o->is_json);
    postmortem_fini(&p);
    return code;
}

static int tell_core(const struct postmortem_options *o)
{
    struct image image;
    struct err err = { "" };
    image_init(&image);
    int code = core_file_open(&image, o->core, &err) < 0 ? fail_postmortem(EX_DATAERR, &err)
                                                         : tell_image(&image, false, o);
    image_fini(&image);
    return code;
}

/* A copy is taken as quickly as can be, and read when the process goes on already. */
static int copy_living(struct image *copy, int32_t pid, uint64_t *held_ns, struct err *err)
{
    struct stopped s;
    uint64_t bytes = 0;
    int fd = memfd_create("weir-postmortem", MFD_CLOEXEC);
    if (fd < 0) return err_set(err, "no memory for a copy: %s", strerror(errno));
    int result = stopped_hold(&s, pid, err);
    if (result == 0) {
        if (core_write_size(&s) > COPY_MAX)
            result = err_set(err, "process %d has more than %u MiB that core files show: use `weir dump`",
                             pid, COPY_MAX >> 20);
        else
            result = core_write(&s, fd, &bytes, err);
        stopped_resume(&s);
        *held_ns = s.held_ns;
        stopped_fini(&s);
    }
    if (result == 0) return core_file_read(copy, fd, err);
    close(fd);
    return result;
}

static int tell_living(int32_t pid, const struct postmortem_options *o)
{
    struct image copy;
    struct err err = { "" };
    uint64_t held_ns = 0;
    image_init(&copy);
    int code = copy_living(&copy, pid, &held_ns, &err) < 0 ? fail_postmortem(EX_OSERR, &err)
                                                           : tell_image(&copy, true, o);
    image_fini(&copy);
    if (held_ns)
        fprintf(stderr, "weir postmortem: process %d stood still for %.1f ms\n", pid, (double)held_ns / 1e6);
    return code;
}

int postmortem_command(int argc, char **argv)
{
    struct postmortem_options o = { .records_max = RECORDS_PRESET };
    struct words words;
    int code = options_parse(&postmortem_syntax, argc, argv, &o, &words);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    if (words.count > 1 || !words.count == !o.pid)
        return options_fault(&postmortem_syntax, "give either one core file or --pid N");
    if (o.pid) return tell_living((int32_t)o.pid, &o);
    o.core = words.items[0];
    return tell_core(&o);
}
