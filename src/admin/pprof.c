#include "admin/pprof.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/routes.h"
#include "base/number.h"
#include "stack/symbolizer.h"

#define HZ_PRESET 99u /* not in step with what happens a hundred times a second */
#define SECONDS_MAX 600.0
#define NAMING_MS \
    30000u /* what an answer may take beyond its window: names are looked up, the profile is packed */
#define TEXT_TYPE "text/plain; charset=utf-8"

const struct admin_query pprof_query[] = {
    { "seconds", "number", "How long it is watched, up to 600." },
    { "hz", "integer", "Samples in a second of CPU time, 1 to 10000; 99 without it." },
    { "form", "string", "`folded` for folded stacks as text; else pprof's format." },
    { "debug", "integer", "What Go's tools send; 0." },
    { 0 },
};

void pprof_fault(struct answer *out, uint16_t status, const char *format, ...)
{
    char text[ERR_TEXT_MAX + 64];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    answer_text(out, status, text);
    out->content_type = TEXT_TYPE;
    out->is_pprof = true;
}

/* telling */

static void tell_bytes(const struct asker *to, struct finding *f, const char *content_type)
{
    struct answer a = { 0 };
    if (f->bytes)
        answer_body(&a, content_type, f->bytes, f->len);
    else if (*f->fault.text)
        pprof_fault(&a, 500, "%s\n", f->fault.text);
    else
        pprof_fault(&a, 503, "weir is stopping\n");
    f->bytes = NULL;
    call_answer((struct call_ticket){ to->context, to->id }, &a);
}

static void tell_packed(const struct asker *to, struct finding *f)
{
    tell_bytes(to, f, "application/octet-stream");
}

static void tell_text(const struct asker *to, struct finding *f)
{
    tell_bytes(to, f, TEXT_TYPE);
}

struct asker pprof_asker(const struct admin_request *rq, enum pprof_kind kind)
{
    struct call_ticket t = call_wait(rq, 0, NULL, NULL);
    return (struct asker){ kind == PPROF_TEXT ? tell_text : tell_packed, t.env, t.id };
}

/* asking */

bool pprof_read_window(const struct admin_request *rq, double preset_s, struct profiler_request *what,
                       struct answer *out)
{
    double seconds = preset_s;
    what->hz = HZ_PRESET;
    if (rq->query[0].data &&
        (!number_decimal(rq->query[0], &seconds) || !(seconds > 0) || seconds > SECONDS_MAX)) {
        pprof_fault(out, 400, "seconds=%.32s is no number over 0 and up to %.0f\n", rq->query[0].data,
                    SECONDS_MAX);
        return false;
    }
    what->duration_ms = (uint64_t)(seconds * 1000);
    if (!what->duration_ms) what->duration_ms = 1;
    if (rq->query[1].data) {
        uint64_t hz;
        if (!number_u64(rq->query[1], &hz) || hz < 1 || hz > SAMPLER_HZ_MAX) {
            pprof_fault(out, 400, "hz=%.32s is no number from 1 to %u\n", rq->query[1].data, SAMPLER_HZ_MAX);
            return false;
        }
        what->hz = (uint32_t)hz;
    }
    return true;
}

static bool read_query(const struct admin_request *rq, double preset_s, struct profiler_request *what,
                       struct answer *out)
{
    if (!pprof_read_window(rq, preset_s, what, out)) return false;
    if (rq->query[2].data && !slice_equal(rq->query[2], SLICE("folded")) && rq->query[2].len) {
        pprof_fault(out, 400, "form=%.32s is none; there is folded\n", rq->query[2].data);
        return false;
    }
    what->form = rq->query[2].len ? PROFILER_FOLDED : PROFILER_PPROF;
    return true;
}

void pprof_ask(const struct admin_request *rq, const struct profiler_request *what,
               void (*refuse)(struct answer *out, uint16_t status, const struct err *err), struct answer *out)
{
    struct err err;
    bool is_busy;
    struct profiler_question *q = profiler_ask(rq->profiler, what, &is_busy, &err);
    if (q)
        call_wait(rq, what->duration_ms + NAMING_MS, profiler_give_up, q);
    else
        refuse(out, is_busy ? 503 : 500, &err);
}

static void refuse_go(struct answer *out, uint16_t status, const struct err *err)
{
    pprof_fault(out, status, "%s\n", err->text);
}

static void ask_profile(const struct admin_request *rq, struct profiler_request what, double preset_s,
                        struct answer *out)
{
    if (!rq->profiler) {
        pprof_fault(out, 503, "this weir has no profiler\n");
    } else if (read_query(rq, preset_s, &what, out)) {
        what.asker = pprof_asker(rq, what.form == PROFILER_FOLDED ? PPROF_TEXT : PPROF_PACKED);
        pprof_ask(rq, &what, refuse_go, out);
    }
}

void pprof_profile(const struct admin_request *rq, struct answer *out)
{
    ask_profile(rq, (struct profiler_request){ .kind = PERF_ON_CPU }, 30, out);
}

void pprof_wall(const struct admin_request *rq, struct answer *out)
{
    ask_profile(rq, (struct profiler_request){ .is_wall = true }, 10, out);
}

void pprof_block(const struct admin_request *rq, struct answer *out)
{
    ask_profile(rq, (struct profiler_request){ .kind = PERF_OFF_CPU }, 5, out);
}

void pprof_mutex(const struct admin_request *rq, struct answer *out)
{
    ask_profile(rq, (struct profiler_request){ .kind = PERF_OFF_CPU, .is_lock = true }, 5, out);
}

void pprof_trace(const struct admin_request *rq, struct answer *out)
{
    (void)rq;
    pprof_fault(out, 501,
                "Go's execution trace is Go's alone; /debug/trace?seconds=5 gives one for Perfetto\n");
}

/* As Go's: the arguments, with zero bytes between them. */
void pprof_cmdline(const struct admin_request *rq, struct answer *out)
{
    (void)rq;
    char *text = malloc(65536);
    FILE *f = text ? fopen("/proc/self/cmdline", "re") : NULL;
    size_t len = f ? fread(text, 1, 65536, f) : 0;
    if (f) fclose(f);
    if (len && !text[len - 1]) len--;
    answer_body(out, "text/plain; charset=utf-8", text, len);
    if (out->status == 0) out->status = 200;
}

/* symbol: "0x123+0x456" to "0x123 name" a line */

static bool is_between(char c)
{
    return c == '+' || c == ' ' || c == '\r' || c == '\n';
}

/* What stands before the next separator, which goes with it. False at the end. The body is a block as it came: nothing
 * terminates it. */
static bool next_address(struct slice *rest, struct slice *address)
{
    size_t len = 0;
    if (!rest->len) return false;
    while (len < rest->len && !is_between(rest->data[len])) len++;
    *address = (struct slice){ rest->data, len };
    size_t used = len < rest->len ? len + 1 : len;
    *rest = (struct slice){ rest->data + used, rest->len - used };
    return true;
}

static void add_symbols(struct symbolizer *s, struct slice addresses, struct text *out)
{
    struct slice address;
    while (next_address(&addresses, &address)) {
        struct symbol found;
        uint64_t pc;
        if (number_address(address, &pc) && symbolizer_find(s, pc, false, &found) && found.name.data)
            text_printf(out, "%#llx %.*s\n", (unsigned long long)pc, SLICE_ARGS(found.name));
    }
}

#define SYMBOL_TEXT_MAX (1u << 20)

static void symbols(struct slice addresses, struct answer *out)
{
    struct modules *m = NULL;
    struct symbolizer *s = NULL;
    struct err err;
    char *memory = malloc(SYMBOL_TEXT_MAX);
    if (!memory || modules_read(&m, 0, &err) < 0 || symbolizer_new(&s, m, &err) < 0) {
        pprof_fault(out, 500, "%s\n", memory ? err.text : "out of memory");
    } else {
        struct text t = text_over(memory, SYMBOL_TEXT_MAX);
        symbolizer_leave_out_lines(s);
        TEXT_LITERAL(&t, "num_symbols: 1\n");
        if (addresses.len) add_symbols(s, addresses, &t);
        answer_body(out, "text/plain; charset=utf-8", memory, t.len);
        memory = NULL;
    }
    free(memory);
    symbolizer_free(s);
    modules_free(m);
}

void pprof_symbol(const struct admin_request *rq, struct answer *out)
{
    symbols(SLICE_NONE, out);
    (void)rq;
}

void pprof_symbol_post(const struct admin_request *rq, struct answer *out)
{
    symbols(rq->body, out);
}

/* the index */

static const char index_page[] =
    "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>weir: profiles</title><style>"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46em;margin:2em auto;padding:0 1em}"
    "td{padding:.2em 1.5em .2em 0;vertical-align:top}code{background:#8882;padding:.1em .3em}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#8bf}}</style></head><body>"
    "<h1>Profiles of this weir</h1><table>"
    "<tr><td><a href=\"/debug/pprof/profile?seconds=5\">profile</a></td><td>CPU time, with labels thread, "
    "worker, "
    "listener, pool, phase. "
    "<code>?seconds=30&amp;hz=99</code></td></tr>"
    "<tr><td><a href=\"/debug/pprof/wall?seconds=5\">wall</a></td><td>All time, on and off the CPU.</td></tr>"
    "<tr><td><a href=\"/debug/pprof/block?seconds=5\">block</a></td><td>Where threads slept, and for how "
    "long.</td></tr>"
    "<tr><td><a href=\"/debug/pprof/mutex?seconds=5\">mutex</a></td><td>The same, of locks alone.</td></tr>"
    "<tr><td><a href=\"/debug/pprof/heap\">heap</a></td><td>Memory in use, sampled at the "
    "allocator.</td></tr>"
    "<tr><td><a href=\"/debug/pprof/allocs\">allocs</a></td><td>All that was allocated since the start. "
    "<code>?seconds=10</code>: only in that "
    "time.</td></tr>"
    "<tr><td><a href=\"/debug/pprof/goroutine?debug=1\">goroutine</a></td><td>What is live: threads with "
    "their stacks; "
    "exchanges, tunnels, "
    "connections by state. <code>debug=2</code>: each thread.</td></tr>"
    "<tr><td><a href=\"/debug/pprof/threadcreate?debug=1\">threadcreate</a></td><td>Threads.</td></tr>"
    "<tr><td><a href=\"/debug/pprof/cmdline\">cmdline</a></td><td>The command line.</td></tr>"
    "</table><p><code>go tool pprof -http=:9099 http://THIS/debug/pprof/profile</code> reads each of them; "
    "<code>form=folded</code> gives folded stacks.</p></body></html>\n";

void pprof_index(const struct admin_request *rq, struct answer *out)
{
    (void)rq;
    answer_text(out, 200, index_page);
    out->content_type = "text/html; charset=utf-8";
}
