/* What recording one exchange costs a worker: nanoseconds for each flight record, metric and access-log line.
 * Best of several rounds, since everything else on the machine only adds. Lines go to /dev/null by the log's
 * own thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "metric/metric.h"
#include "record/access_log.h"
#include "record/flight_ring.h"

#define ROUNDS 7
#define RUNS 200000u

struct bench {
    struct flight_ring *ring;
    struct metric_shard *shard;
    uint32_t counter, histogram;
    struct flight_record record;
    struct http_field fields[6], response_fields[2];
    struct http_head request, response;
    struct access_entry entry;
    struct access_log_writer *writer;
};

static void fail(const struct err *err)
{
    fprintf(stderr, "bench-record: %s\n", err->text);
    exit(1);
}

static struct http_field field(const char *name, const char *value)
{
    struct slice n = slice_of(name);
    return (struct http_field){ .name = name,
                                .value = value,
                                .name_len = (uint16_t)n.len,
                                .value_len = (uint32_t)strlen(value),
                                .id = (uint8_t)http_field_id_of(n) };
}

static void set_up_entry(struct bench *b)
{
    const struct http_field fields[] = {
        field("Host", "www.example.com"),
        field("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0"),
        field("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        field("Accept-Encoding", "gzip, deflate, br"),
        field("Referer", "https://www.example.com/products/index.html"),
        field("Cookie", "session=0123456789abcdef0123456789abcdef"),
    };
    memcpy(b->fields, fields, sizeof(fields));
    b->response_fields[0] = field("Content-Type", "text/html");
    b->response_fields[1] = field("Server", "origin");
    b->request = (struct http_head){ .version = HTTP_VERSION_1_1,
                                     .method_text = SLICE("GET"),
                                     .target = SLICE("/products/item?id=12345&color=blue"),
                                     .fields = b->fields,
                                     .field_count = 6 };
    b->response = (struct http_head){ .fields = b->response_fields, .field_count = 2 };
    struct flight_record *r = &b->record;
    flight_init(r);
    r->id = flight_next_id(b->ring);
    r->client = (struct ip){ { [10] = 0xff, [11] = 0xff, [12] = 192, [13] = 168, [14] = 112, [15] = 217 } };
    r->status = 200;
    r->end = END_OK;
    r->total_us = 12345;
    r->picked_us = 5;
    flight_set_target(r, b->request.target);
    flight_set_request_id(r, SLICE("0123456789abcdef0123456789abcdef"));
    struct flight_attempt *a = flight_begin_attempt(r, 1, BALANCE_LEAST, true);
    a->first_byte_us = 12000;
    a->status = 200;
    a->end = END_OK;
    b->entry = (struct access_entry){ .record = r,
                                      .request = &b->request,
                                      .response = &b->response,
                                      .now_wall_ns = clock_wall_ns(),
                                      .listener = SLICE("web"),
                                      .route = SLICE("rest"),
                                      .pool = SLICE("api"),
                                      .servers = { SLICE("10.0.0.1:8080") },
                                      .body_bytes = 5123,
                                      .connection_id = 123456,
                                      .connection_requests = 17 };
}

static void run_flight_write(struct bench *b)
{
    for (uint32_t i = 0; i < RUNS; i++) {
        b->record.total_us = i;
        flight_write(b->ring, &b->record);
    }
}

static void run_metric_add(struct bench *b)
{
    for (uint32_t i = 0; i < RUNS; i++) metric_add(b->shard, b->counter, 1);
}

static void run_metric_observe(struct bench *b)
{
    for (uint32_t i = 0; i < RUNS; i++) metric_observe(b->shard, b->histogram, i & 65535);
}

/* In steps of 50 us, 20,000 lines a second; the thread's share is not counted. */
static void run_access_log(struct bench *b)
{
    for (uint32_t i = 0; i < RUNS; i++) {
        b->entry.now_wall_ns += 50000;
        access_log_write(b->writer, &b->entry);
    }
}

static void report(const char *name, struct bench *b, void (*run)(struct bench *))
{
    double best = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct timespec t[2];
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t[0]);
        run(b);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t[1]);
        double ns = ((double)(t[1].tv_sec - t[0].tv_sec) * 1e9 + (double)(t[1].tv_nsec - t[0].tv_nsec)) /
                    RUNS;
        if (i == 0 || ns < best) best = ns;
    }
    printf("%-24s %8.1f ns\n", name, best);
}

static void report_access_log(const char *format, struct bench *b)
{
    static struct access_log_conf conf;
    struct err err;
    char name[64];
    conf.path = "/dev/null";
    conf.buffer_bytes = 1 << 20;
    if (access_format_compile(slice_of(format), &conf.format, &err) < 0) fail(&err);
    struct access_log *log = access_log_open(&conf, 1, &err);
    if (!log) fail(&err);
    b->writer = access_log_writer_of(log, 0);
    snprintf(name, sizeof(name), "access_log_write %s", format);
    report(name, b, run_access_log);
    printf("%-24s %8llu of %u\n", "  dropped", (unsigned long long)access_log_dropped(log), ROUNDS * RUNS);
    access_log_close(log);
}

int main(void)
{
    static struct bench b;
    struct err err;
    struct metric_registry *reg;
    if (flight_ring_new(&b.ring, FLIGHT_RING_RECORDS, 0, &err) < 0) fail(&err);
    if (metric_registry_new(&reg, 1, 100, &err) < 0) fail(&err);
    b.shard = metric_shard_of(reg, 0);
    b.counter = metric_counter(reg, "weir_bench_total", "Bench.", NULL, 0);
    b.histogram = metric_histogram(reg, "weir_bench_seconds", "Bench.", NULL, 0);
    set_up_entry(&b);
    report("flight_write", &b, run_flight_write);
    report("metric_add", &b, run_metric_add);
    report("metric_observe", &b, run_metric_observe);
    report_access_log("combined", &b);
    report_access_log("json", &b);
    metric_registry_free(reg);
    flight_ring_free(b.ring);
    return 0;
}
