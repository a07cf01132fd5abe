#define XXH_INLINE_ALL
#include <xxhash.h>

#include "command/logs.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/printable.h"
#include "base/quantity.h"
#include "command/logs_file.h"
#include "command/logs_follow.h"
#include "command/table.h"
#include "logs/entry_value.h"
#include "logs/report.h"

#define TEXT_MAX (8u << 20)
#define SLOW_MAX 10000u
#define ADDRESSES_MAX (1u << 20)
#define ADDRESSES_PRESET (1u << 18)

/* For people, unless --format says another. */
enum output {
    OUTPUT_PEOPLE,
    OUTPUT_TEXT,
    OUTPUT_JSON,
    OUTPUT_CSV,
    OUTPUT_NFT,
    OUTPUT_NGINX_DENY,
    OUTPUT_WEIR,
    OUTPUT_COUNT
};

static const char *const output_names[] = { "", "txt", "json", "csv", "nft", "nginx-deny", "weir" };

#define OUTPUTS_OF_REPORTS (1u << OUTPUT_TEXT | 1u << OUTPUT_JSON)
#define OUTPUTS_OF_LINES (1u << OUTPUT_TEXT)
#define OUTPUTS_OF_ADDRESSES ((1u << OUTPUT_COUNT) - 1)

struct logs_options {
    const char *log_format, *nginx_conf, *where, *since, *until, *group, *field, *output_name;
    enum output output;
    uint32_t top;
    uint64_t min;
    unsigned v4_bits, v6_bits;
    int field_at;          /* of a list in `field`: 0 the first, -1 the last */
    enum log_field client; /* where the address stands */
    bool is_quiet;
    char **files;
    int file_count;
};

static int usage_fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int usage_fault(const char *format, ...)
{
    va_list args;
    fputs("weir logs: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("\nTry: weir logs --help\n", stderr);
    return EX_USAGE;
}

/* options */

/* "2026-03-12T10:00:00Z", seconds since 1970, or "10m": so long ago. */
static int parse_moment(const char *option, const char *text, uint64_t *out_s)
{
    struct err err;
    uint64_t ms;
    struct slice s = slice_of(text);
    *out_s = entry_time_iso_s(s);
    if (*out_s || entry_u64(s, out_s)) return EX_OK;
    if (quantity_parse_ms(s, &ms, &err) == 0) {
        *out_s = clock_wall_ns() / NS_PER_S - ms / 1000;
        return EX_OK;
    }
    return usage_fault("%s %s is no moment; write one like 2026-03-12T10:00:00Z, or 10m for ten minutes ago",
                       option, text);
}

static int parse_count(const char *option, const char *text, uint64_t max, uint64_t *out)
{
    if (entry_u64(slice_of(text), out) && *out && *out <= max) return EX_OK;
    return usage_fault("%s %s is no number from 1 to %llu", option, text, (unsigned long long)max);
}

/* "/24,/64" */
static int parse_group(struct logs_options *o)
{
    char *end = NULL;
    unsigned long v4 = 32, v6 = 128;
    const char *p = o->group;
    if (*p == '/') {
        v4 = strtoul(p + 1, &end, 10);
        p = end;
        if (*p == ',' && p[1] == '/') {
            v6 = strtoul(p + 2, &end, 10);
            p = end;
        }
    }
    if (*p || v4 < 1 || v4 > 32 || v6 < 1 || v6 > 128)
        return usage_fault("--group %s is no pair of prefix lengths; write /24,/64", o->group);
    o->v4_bits = (unsigned)v4;
    o->v6_bits = (unsigned)v6;
    return EX_OK;
}

/* "client", "xff", "xff:-1", "xff:0" */
static int parse_field(struct logs_options *o)
{
    const char *colon = strchr(o->field, ':');
    size_t len = colon ? (size_t)(colon - o->field) : strlen(o->field);
    struct slice name = { o->field, len };
    char *end = NULL;
    o->client = slice_equal(name, SLICE("xff")) ? LOG_XFF : LOG_CLIENT;
    o->field_at = -1;
    if (colon) o->field_at = (int)strtol(colon + 1, &end, 10);
    bool is_known = o->client == LOG_XFF || slice_equal(name, SLICE("client"));
    if (is_known && (!colon || (*end == 0 && end != colon + 1))) return EX_OK;
    return usage_fault("--field %s is none; write client, or xff:-1 for the last address of X-Forwarded-For",
                       o->field);
}

/* `outputs`: what the command can write, a bit for each enum output. */
static int parse_output(struct logs_options *o, unsigned outputs)
{
    char names[64];
    struct text t = text_over(names, sizeof(names));
    for (unsigned i = OUTPUT_TEXT; i < OUTPUT_COUNT; i++) {
        if (!(outputs & 1u << i)) continue;
        if (strcmp(o->output_name, output_names[i]) == 0) {
            o->output = (enum output)i;
            return EX_OK;
        }
        text_printf(&t, "%s%s", t.len ? ", " : "", output_names[i]);
    }
    return usage_fault("--format %s is not among what this writes: %s; what a log looks like is said by "
                       "--log-format",
                       o->output_name, text_cstr(&t));
}

static int print_help(void);

/* EX_OK, or -1 after the help, or EX_USAGE. */
static int parse_options(int argc, char **argv, unsigned outputs, struct logs_options *o)
{
    static const struct option options[] = {
        { "log-format", required_argument, NULL, 'f' },
        { "nginx-conf", required_argument, NULL, 'n' },
        { "where", required_argument, NULL, 'w' },
        { "since", required_argument, NULL, 's' },
        { "until", required_argument, NULL, 'u' },
        { "top", required_argument, NULL, 't' },
        { "json", no_argument, NULL, 'j' },
        { "group", required_argument, NULL, 'g' },
        { "field", required_argument, NULL, 'F' },
        { "min", required_argument, NULL, 'm' },
        { "format", required_argument, NULL, 'o' },
        { "quiet", no_argument, NULL, 'q' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    uint64_t number;
    int option, code = EX_OK;
    while (code == EX_OK && (option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 'h': print_help(); return -1;
        case 'f': o->log_format = optarg; break;
        case 'n': o->nginx_conf = optarg; break;
        case 'w': o->where = optarg; break;
        case 's': o->since = optarg; break;
        case 'u': o->until = optarg; break;
        case 't':
            code = parse_count("--top", optarg, 1000, &number);
            o->top = (uint32_t)number;
            break;
        case 'j': o->output_name = output_names[OUTPUT_JSON]; break;
        case 'g': o->group = optarg; break;
        case 'F': o->field = optarg; break;
        case 'm':
            code = parse_count("--min", optarg, UINT64_MAX / 2, &number);
            o->min = number;
            break;
        case 'o': o->output_name = optarg; break;
        case 'q': o->is_quiet = true; break;
        default: return usage_fault("what is meant?");
        }
    }
    if (code == EX_OK && o->group) code = parse_group(o);
    if (code == EX_OK && o->field) code = parse_field(o);
    if (code == EX_OK && o->output_name) code = parse_output(o, outputs);
    o->files = argv + optind;
    o->file_count = argc - optind;
    if (code == EX_OK && !o->file_count) code = usage_fault("no file is given; - is standard input");
    return code;
}

/* reading all files */

struct run {
    const struct logs_options *options;
    struct logs_job job;
    struct log_format format;
    uint64_t malformed, started_ns;
    uint32_t unread;  /* files of which some or all could not be read */
    bool is_terminal; /* for progress */
    FILE *out;        /* of grep */
};

static void on_malformed(void *context, struct slice line)
{
    (void)line;
    struct run *r = context;
    r->malformed++;
}

static void on_note(void *context, const char *sentence)
{
    const struct run *r = context;
    if (!r->options->is_quiet) fprintf(stderr, "weir logs: %s\n", sentence);
}

static void on_progress(void *context, uint64_t done, uint64_t total)
{
    struct run *r = context;
    char rate[32];
    if (!r->is_terminal) return;
    double seconds = (double)(clock_now_ns() - r->started_ns) / 1e9;
    quantity_print_bytes((uint64_t)((double)r->job.bytes / (seconds > 0 ? seconds : 1)), rate);
    if (total && done)
        fprintf(printable_past(2), "\r%3.0f %%  %s/s  %.0f s left ", 100.0 * (double)done / (double)total,
                rate, seconds / (double)done * (double)(total - done));
    else
        fprintf(printable_past(2), "\r%s/s ", rate);
}

static int prepare(struct run *r, const struct logs_options *o, struct err *err)
{
    r->options = o;
    r->is_terminal = isatty(2) && !o->is_quiet;
    r->started_ns = clock_now_ns();
    r->job.format = &r->format;
    r->job.to_s = UINT64_MAX;
    r->job.on_malformed = on_malformed;
    r->job.on_progress = on_progress;
    r->job.on_note = on_note;
    r->job.context = r;
    if (o->since && parse_moment("--since", o->since, &r->job.from_s)) return EX_USAGE;
    if (o->until && parse_moment("--until", o->until, &r->job.to_s)) return EX_USAGE;
    if (o->where && filter_compile(&r->job.filter, slice_of(o->where), err) < 0) {
        err_prefix(err, "--where");
        return EX_USAGE;
    }
    if (!o->nginx_conf && log_format_parse(&r->format, o->log_format ? o->log_format : "auto", err) < 0) {
        err_prefix(err, "--log-format");
        return EX_USAGE;
    }
    return EX_OK;
}

/* What the report is without. */
static void tell_rest(const struct run *r)
{
    uint64_t gave_up = r->job.filter ? filter_gave_up(r->job.filter) : 0;
    if (r->unread)
        fprintf(stderr, "weir logs: the report is without what could not be read of %u of %d files\n",
                r->unread, r->options->file_count);
    if (r->malformed && !r->options->is_quiet)
        fprintf(stderr, "weir logs: lines that are no records of this format, and left out: %llu\n",
                (unsigned long long)r->malformed);
    if (gave_up)
        fprintf(stderr,
                "weir logs: a regular expression gave up on %llu values; what it says of them is not "
                "known, and those records are left out\n",
                (unsigned long long)gave_up);
}

static int read_files(struct run *r, struct err *err)
{
    for (int i = 0; i < r->options->file_count; i++) {
        const char *path = r->options->files[i];
        if (r->options->nginx_conf && log_format_of_nginx(&r->format, r->options->nginx_conf, path, err) < 0)
            return EX_DATAERR;
        if (logs_file_read(&r->job, path, err) == 0) continue;
        /* What can be read of the others, and came before, is reported. */
        r->unread++;
        if (r->is_terminal) fputs("\r\033[K", printable_past(2));
        fprintf(stderr, "weir logs: %s\n", err->text);
        err->text[0] = 0;
    }
    if (r->is_terminal) fputs("\r\033[K", printable_past(2));
    if (r->unread && !r->job.bytes) return EX_NOINPUT;
    tell_rest(r);
    return EX_OK;
}

/* The report is there, but something is missing in it. */
static int end_code(const struct run *r, int code)
{
    return code == EX_OK && r->unread ? EX_NOINPUT : code;
}

static int run_job(const struct logs_options *o, struct run *r)
{
    struct err err = { "" };
    int code = prepare(r, o, &err);
    if (code == EX_OK) code = read_files(r, &err);
    if (code != EX_OK && *err.text) fprintf(stderr, "weir logs: %s\n", err.text);
    filter_free(r->job.filter);
    return code;
}

static int print_text(const struct text *t)
{
    if (fwrite(t->data, 1, t->len, stdout) != t->len || fflush(stdout) == EOF) return EX_IOERR;
    if (!t->is_cut) return EX_OK;
    fputs("weir logs: the output was cut; ask for fewer with --top\n", stderr);
    return EX_SOFTWARE;
}

static int print_json(struct json *j)
{
    bool is_whole = !j->is_failed && fwrite(j->data, 1, j->len, stdout) == j->len &&
                    fputc('\n', stdout) != EOF;
    json_fini(j);
    return is_whole ? EX_OK : EX_IOERR;
}

static char *output_memory(void)
{
    char *memory = malloc(TEXT_MAX);
    if (!memory) fputs("weir logs: out of memory\n", stderr);
    return memory;
}

/* stats */

struct stats {
    struct run run; /* first */
    struct tally *tally;
};

static void add_to_tally(void *context, const struct log_entry *e)
{
    struct stats *s = context;
    tally_add(s->tally, e, 0);
}

static void add_malformed(void *context, struct slice line)
{
    struct stats *s = context;
    s->run.malformed++;
    tally_add_malformed(s->tally, line);
}

static int print_stats_json(const struct stats *s, uint32_t top)
{
    struct json j;
    json_init(&j, TEXT_MAX, true);
    json_object(&j);
    json_key(&j, "first");
    json_u64(&j, tally_first_s(s->tally));
    json_key(&j, "last");
    json_u64(&j, tally_last_s(s->tally));
    json_key(&j, "malformed");
    report_malformed_json(s->tally, &j);
    json_key(&j, "all");
    report_json(tally_period(s->tally, TALLY_ALL, 0), top, &j);
    json_object_end(&j);
    return print_json(&j);
}

static void add_malformed_text(const struct tally *t, struct text *out)
{
    struct tally_malformed m;
    tally_malformed(t, &m);
    if (!m.count) return;
    text_printf(out, "\n%llu lines are no records of this format, for instance\n",
                (unsigned long long)m.count);
    for (uint32_t i = 0; i < m.sample_count; i++) {
        TEXT_LITERAL(out, "  ");
        report_printable(m.samples[i], out);
        text_add_char(out, '\n');
    }
}

static int print_stats_text(const struct stats *s, uint32_t top)
{
    char *memory = output_memory();
    if (!memory) return EX_OSERR;
    struct text t = text_over(memory, TEXT_MAX);
    report_text(tally_period(s->tally, TALLY_ALL, 0), top, &t);
    add_malformed_text(s->tally, &t);
    int code = print_text(&t);
    free(memory);
    return code;
}

static int stats(const struct logs_options *o)
{
    struct err err;
    struct stats *s = calloc(1, sizeof(*s));
    if (!s || tally_new(&s->tally, false, &err) < 0) {
        fprintf(stderr, "weir logs: %s\n", s ? err.text : "out of memory");
        free(s);
        return EX_OSERR;
    }
    s->run.job.on_entry = add_to_tally;
    int code = EX_OK;
    struct run *r = &s->run;
    struct err fault = { "" };
    code = prepare(r, o, &fault);
    r->job.on_malformed = add_malformed;
    if (code == EX_OK) code = read_files(r, &fault);
    if (code != EX_OK && *fault.text) fprintf(stderr, "weir logs: %s\n", fault.text);
    filter_free(r->job.filter);
    uint32_t top = o->top ? o->top : 10;
    if (code == EX_OK) code = o->output == OUTPUT_JSON ? print_stats_json(s, top) : print_stats_text(s, top);
    code = end_code(r, code);
    tally_free(s->tally);
    free(s);
    return code;
}

/* ips */

struct ips {
    struct run run; /* first */
    struct top *top;
    uint64_t without;
};

/* Element `at` of a list; from the end if it is negative. */
static struct slice list_element(struct slice list, int at)
{
    struct slice element, found = SLICE_NONE;
    int count = 0;
    struct slice rest = list;
    while (slice_next_element(&rest, &element)) count++;
    int wanted = at < 0 ? count + at : at;
    rest = list;
    for (int i = 0; slice_next_element(&rest, &element); i++)
        if (i == wanted) found = element;
    return found;
}

static void mask(struct ip *ip, unsigned bits)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned keep = bits > i * 8 ? bits - i * 8 : 0;
        if (keep < 8) ip->bytes[i] &= (uint8_t)(0xff00u >> keep);
    }
}

static void add_address(void *context, const struct log_entry *e)
{
    static const struct ip none;
    struct ips *s = context;
    const struct logs_options *o = s->run.options;
    struct ip ip = e->client;
    if (o->client == LOG_XFF) {
        struct slice named = list_element(e->values[LOG_XFF], o->field_at);
        if (!entry_ip(named, &ip) && !ip_parse_node(named, &ip)) ip = none;
    }
    if (memcmp(&ip, &none, sizeof(ip)) == 0) {
        s->without++;
        return;
    }
    mask(&ip, ip_is_v4(&ip) ? 96 + o->v4_bits : o->v6_bits);
    top_add(s->top, XXH3_64bits(ip.bytes, sizeof(ip.bytes)), (struct slice){ (const char *)ip.bytes, 16 }, 1);
}

/* "192.0.2.0/24", or the address alone where it is whole. */
static void print_block(const struct logs_options *o, struct slice key, struct text *out)
{
    char printed[INET6_ADDRSTRLEN];
    struct ip ip;
    memcpy(ip.bytes, key.data, sizeof(ip.bytes));
    bool is_v4 = ip_is_v4(&ip);
    unsigned bits = is_v4 ? o->v4_bits : o->v6_bits;
    text_add_slice(out, slice_of(ip_print(&ip, printed)));
    if (bits < (is_v4 ? 32u : 128u)) text_printf(out, "/%u", bits);
}

static bool is_v4_key(struct slice key)
{
    struct ip ip;
    memcpy(ip.bytes, key.data, sizeof(ip.bytes));
    return ip_is_v4(&ip);
}

static void print_nft(const struct logs_options *o, const struct top_entry *entries, uint32_t count,
                      struct text *out)
{
    for (int family = 0; family < 2; family++) {
        bool is_first = true;
        text_printf(out, "add set inet filter weir_v%u { type ipv%u_addr; flags interval; }\n",
                    family ? 6 : 4, family ? 6 : 4);
        for (uint32_t i = 0; i < count; i++) {
            if (is_v4_key(entries[i].key) == (family == 1)) continue;
            if (is_first)
                text_printf(out, "add element inet filter weir_v%u { ", family ? 6 : 4);
            else
                TEXT_LITERAL(out, ", ");
            print_block(o, entries[i].key, out);
            is_first = false;
        }
        if (!is_first) TEXT_LITERAL(out, " }\n");
    }
}

static void print_addresses(const struct logs_options *o, const struct top_entry *entries, uint32_t count,
                            struct text *out)
{
    if (o->output == OUTPUT_NFT) {
        print_nft(o, entries, count, out);
        return;
    }
    if (o->output == OUTPUT_CSV) TEXT_LITERAL(out, "address,count,error\n");
    if (o->output == OUTPUT_WEIR) TEXT_LITERAL(out, "gate:\n  deny:\n");
    if (o->output == OUTPUT_JSON) TEXT_LITERAL(out, "[");
    for (uint32_t i = 0; i < count; i++) {
        unsigned long long n = entries[i].count, error = entries[i].error;
        if (o->output == OUTPUT_PEOPLE) text_printf(out, "%12llu  ", n);
        if (o->output == OUTPUT_NGINX_DENY) TEXT_LITERAL(out, "deny ");
        if (o->output == OUTPUT_WEIR) TEXT_LITERAL(out, "    - \"");
        if (o->output == OUTPUT_JSON) text_printf(out, "%s{\"address\":\"", i ? "," : "");
        print_block(o, entries[i].key, out);
        switch (o->output) {
        case OUTPUT_CSV: text_printf(out, ",%llu,%llu\n", n, error); break;
        case OUTPUT_NGINX_DENY: TEXT_LITERAL(out, ";\n"); break;
        case OUTPUT_WEIR: TEXT_LITERAL(out, "\"\n"); break;
        case OUTPUT_JSON: text_printf(out, "\",\"count\":%llu,\"error\":%llu}", n, error); break;
        default: text_add_char(out, '\n');
        }
    }
    if (o->output == OUTPUT_JSON) TEXT_LITERAL(out, "]\n");
}

static int print_ips(const struct ips *s, const struct logs_options *o)
{
    uint32_t max = o->top ? o->top : ADDRESSES_MAX;
    struct top_entry *entries = calloc(top_count(s->top) + 1, sizeof(*entries));
    char *memory = output_memory();
    int code = EX_OSERR;
    if (entries && memory) {
        struct text t = text_over(memory, TEXT_MAX);
        uint32_t count = top_list(s->top, entries, top_count(s->top) < max ? top_count(s->top) : max);
        while (count && entries[count - 1].count < o->min) count--;
        print_addresses(o, entries, count, &t);
        code = print_text(&t);
    }
    if (top_floor(s->top) >= (o->min ? o->min : 1))
        fprintf(stderr,
                "weir logs: there are more addresses than are kept; those with up to %llu records may be "
                "missing, and counts may be too high by as much\n",
                (unsigned long long)top_floor(s->top));
    if (s->without)
        fprintf(stderr, "weir logs: %llu records have no such address\n", (unsigned long long)s->without);
    free(entries);
    free(memory);
    return code;
}

static int ips(const struct logs_options *o)
{
    struct ips *s = calloc(1, sizeof(*s));
    if (s) s->top = top_new(ADDRESSES_PRESET, 16);
    if (!s || !s->top) {
        free(s);
        fputs("weir logs: out of memory\n", stderr);
        return EX_OSERR;
    }
    s->run.job.on_entry = add_address;
    int code = run_job(o, &s->run);
    if (code == EX_OK) code = end_code(&s->run, print_ips(s, o));
    top_free(s->top);
    free(s);
    return code;
}

/* grep */

static void print_line(void *context, const struct log_entry *e)
{
    struct run *r = context;
    if (e->line.data) {
        fwrite(e->line.data, 1, e->line.len, r->out);
    } else {
        /* A JSON record longer than is held is told by its main values. */
        fprintf(
            r->out, "%.*s %.*s \"%.*s %.*s\" %u %llu", SLICE_ARGS(e->values[LOG_CLIENT]),
            SLICE_ARGS(e->values[LOG_TIME_ISO].data ? e->values[LOG_TIME_ISO] : e->values[LOG_TIME_LOCAL]),
            SLICE_ARGS(e->method), SLICE_ARGS(e->values[LOG_TARGET]), e->status,
            (unsigned long long)e->bytes);
    }
    fputc('\n', r->out);
    if (ferror(r->out)) r->job.is_stopped = true;
}

static int grep(const struct logs_options *o)
{
    struct run *r = calloc(1, sizeof(*r));
    if (!r) return EX_OSERR;
    if (!o->where) {
        free(r);
        return usage_fault("grep needs --where EXPRESSION");
    }
    r->job.on_entry = print_line;
    /* As it is, unless somebody looks. */
    r->out = isatty(1) ? stdout : printable_past(1);
    int code = run_job(o, r);
    if (fflush(r->out) == EOF && code == EX_OK) code = EX_IOERR;
    code = end_code(r, code);
    free(r);
    return code;
}

/* slow */

struct slow_record {
    uint64_t us;
    char line[1024];
};

struct slow {
    struct run run; /* first */
    uint32_t count, max;
    struct slow_record *heap; /* the quickest of them on top */
};

static void sift_down(struct slow *s, uint32_t at)
{
    for (;;) {
        uint32_t least = at, left = 2 * at + 1, right = left + 1;
        if (left < s->count && s->heap[left].us < s->heap[least].us) least = left;
        if (right < s->count && s->heap[right].us < s->heap[least].us) least = right;
        if (least == at) return;
        struct slow_record other = s->heap[at];
        s->heap[at] = s->heap[least];
        s->heap[least] = other;
        at = least;
    }
}

static void keep_line(struct slow_record *r, const struct log_entry *e)
{
    struct text t = text_over(r->line, sizeof(r->line));
    r->us = e->request_us;
    if (e->line.data) {
        text_add_slice(&t, e->line);
    } else {
        text_add_slice(&t, e->method);
        text_add_char(&t, ' ');
        text_add_slice(&t, e->values[LOG_TARGET]);
        text_printf(&t, " %u", e->status);
    }
    text_cstr(&t);
    table_clean(r->line);
}

static void add_slow(void *context, const struct log_entry *e)
{
    struct slow *s = context;
    if (e->request_us == UINT64_MAX) return;
    if (s->count < s->max) {
        keep_line(&s->heap[s->count++], e);
        for (uint32_t i = s->count == s->max ? s->max / 2 + 1 : 0; i-- > 0;) sift_down(s, i);
    } else if (e->request_us > s->heap[0].us) {
        keep_line(&s->heap[0], e);
        sift_down(s, 0);
    }
}

static int slower_first(const void *left, const void *right)
{
    const struct slow_record *a = left, *b = right;
    return (a->us < b->us) - (a->us > b->us);
}

static int print_slow_json(const struct slow *s)
{
    struct json j;
    json_init(&j, TEXT_MAX, true);
    json_array(&j);
    for (uint32_t i = 0; i < s->count; i++) {
        json_object(&j);
        json_key(&j, "request_s");
        json_double(&j, (double)s->heap[i].us / 1e6);
        json_key(&j, "record");
        json_string(&j, s->heap[i].line);
        json_object_end(&j);
    }
    json_array_end(&j);
    return print_json(&j);
}

static int slow(const struct logs_options *o)
{
    struct slow *s = calloc(1, sizeof(*s));
    if (s) s->heap = calloc(o->top ? o->top : 20, sizeof(*s->heap));
    if (!s || !s->heap) {
        free(s);
        return EX_OSERR;
    }
    s->max = o->top ? o->top : 20;
    s->run.job.on_entry = add_slow;
    int code = run_job(o, &s->run);
    qsort(s->heap, s->count, sizeof(*s->heap), slower_first);
    if (code == EX_OK && o->output == OUTPUT_JSON)
        code = print_slow_json(s);
    else
        for (uint32_t i = 0; code == EX_OK && i < s->count; i++)
            printf("%10.3f s  %s\n", (double)s->heap[i].us / 1e6, s->heap[i].line);
    if (code == EX_OK && !s->count)
        fputs("weir logs: no record says how long its request took; log $request_time\n", stderr);
    code = end_code(&s->run, code);
    free(s->heap);
    free(s);
    return code;
}

/* errors, paths: one dimension of the statistics */

static int only(const struct logs_options *o, enum period_dimension d, const char *where)
{
    struct err err = { "" };
    struct stats *s = calloc(1, sizeof(*s));
    if (!s || tally_new(&s->tally, false, &err) < 0) {
        free(s);
        return EX_OSERR;
    }
    struct logs_options narrowed = *o;
    char both[FILTER_TEXT_MAX];
    if (where && o->where)
        snprintf(both, sizeof(both), "%s && (%s)", where, o->where);
    else if (where)
        snprintf(both, sizeof(both), "%s", where);
    if (where) narrowed.where = both;
    s->run.job.on_entry = add_to_tally;
    int code = run_job(&narrowed, &s->run);
    struct json j;
    json_init(&j, TEXT_MAX, true);
    const struct period *p = tally_period(s->tally, TALLY_ALL, 0);
    uint32_t top = o->top ? o->top : 20;
    report_top_json(p, d, top, &j);
    if (code == EX_OK && o->output == OUTPUT_JSON) {
        code = print_json(&j);
    } else {
        json_fini(&j);
        struct top_entry *entries = calloc(top, sizeof(*entries));
        uint32_t count = entries ? top_list(p->tops[d], entries, top) : 0;
        for (uint32_t i = 0; code == EX_OK && i < count; i++)
            printf("%12llu  %.*s\n", (unsigned long long)entries[i].count, SLICE_ARGS(entries[i].key));
        free(entries);
    }
    code = end_code(&s->run, code);
    tally_free(s->tally);
    free(s);
    return code;
}

static int paths(const struct logs_options *o)
{
    return only(o, PERIOD_PATH, NULL);
}

static int errors(const struct logs_options *o)
{
    return only(o, PERIOD_PATH, "status>=500");
}

/* all of them */

static const struct {
    const char *name;
    int (*run)(const struct logs_options *o);
    unsigned outputs;
} actions[] = {
    { "stats", stats, OUTPUTS_OF_REPORTS }, { "ips", ips, OUTPUTS_OF_ADDRESSES },
    { "slow", slow, OUTPUTS_OF_REPORTS },   { "errors", errors, OUTPUTS_OF_REPORTS },
    { "paths", paths, OUTPUTS_OF_REPORTS }, { "grep", grep, OUTPUTS_OF_LINES },
};

static const char help[] =
    "Usage: weir logs stats|ips|slow|errors|paths|grep [OPTION]... FILE...\n"
    "       weir logs follow SOURCE [OPTION]...\n"
    "Reads nginx's logs: plain, .gz or .zst; - is standard input.\n\n"
    "  stats    everything in figures\n"
    "  ips      the clients' addresses, the most frequent first\n"
    "  slow     the slowest requests\n"
    "  errors   paths with a 5xx, the most frequent first\n"
    "  paths    paths, with numbers and ids folded\n"
    "  grep     the lines that --where takes\n"
    "  follow   records as they come, of a log that a running weir watches; it has its own --help\n\n"
    "  --log-format F      what the log looks like: combined, json, auto (the preset), or a log_format's "
    "text\n"
    "  --nginx-conf FILE   take the format from nginx's own configuration\n"
    "  --where EXPRESSION  only these: 'status>=500 && path~\"^/login\"'\n"
    "  --since, --until T  only from then, until then: 2026-03-12T10:00:00Z, or 10m ago; logs are taken to "
    "be sorted by\n"
    "                      time, to within a minute, and are not read before and after\n"
    "  --top N             how many of each\n"
    "  --format FORM       what to write: txt or json; of ips also csv, nft, nginx-deny, weir\n"
    "  --json              the same as --format json\n"
    "  --quiet             no progress on a terminal\n"
    "ips:\n"
    "  --group /24,/64     by networks\n"
    "  --field xff:-1      the last address of X-Forwarded-For instead of the client's\n"
    "  --min N             only those with N records or more\n"
    "  --format FORM       txt is addresses alone; nft, nginx-deny and weir are what nft, nginx and weir's "
    "gate read\n";

static int print_help(void)
{
    fputs(help, stdout);
    return EX_OK;
}

int logs_command(int argc, char **argv)
{
    struct logs_options o = { .v4_bits = 32, .v6_bits = 128, .client = LOG_CLIENT };
    if (argc < 2) return usage_fault("say what is wanted: stats, ips, slow, errors, paths, grep or follow");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) return print_help();
    if (strcmp(argv[1], "follow") == 0) return logs_follow(argc - 1, argv + 1);
    for (unsigned i = 0; i < sizeof(actions) / sizeof(*actions); i++) {
        if (strcmp(argv[1], actions[i].name) != 0) continue;
        int code = parse_options(argc - 1, argv + 1, actions[i].outputs, &o);
        if (code < 0) return EX_OK;
        return code == EX_OK ? actions[i].run(&o) : code;
    }
    return usage_fault("what is \"%s\"? write stats, ips, slow, errors, paths, grep or follow", argv[1]);
}
