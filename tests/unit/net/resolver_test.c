/* Names over a name server of this test's own: it says nothing but what the test has it say, on UDP and TCP. The loop's clock
 * stands until it is set, c-ares's own runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* after the above */
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "net/resolver.h"

/* Turns of at most a millisecond each: a bound, not a time that anything is expected to take. */
#define TURNS_MAX 60000

enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_AAAA = 28 };
enum { NO_ERROR = 0, SERVER_FAILURE = 2, NO_SUCH_NAME = 3, REFUSED = 5 };

struct record {
    uint16_t type;
    uint32_t ttl_s;
    const char *value; /* an address, or for CNAME a name, at which the records behind it stand */
};

/* What the name server does with a question for a name. */
struct script {
    const char *name;
    uint16_t type;
    uint8_t code;
    uint32_t count;
    const struct record *records;
    bool is_silent;
    bool is_cut;      /* over UDP: truncated, and says so */
    bool is_garbage;  /* the records are cut off in the middle */
    bool lies_first;  /* others' answers come before: another id, another name, another socket */
    uint32_t in_vain; /* so many questions are not answered first */
};

struct name_server {
    int udp, tcp, peer, stranger;
    uint16_t port;
    const struct script *scripts;
    uint32_t count;
    unsigned asked, asked_by_tcp; /* questions that came */
    char latest[512];             /* the latest name asked for */
};

struct scene {
    struct budget budget;
    struct loop loop;
    struct address server;
    struct resolver_conf conf;
    struct resolver *resolver;
    struct name_server dns;
};

struct asker {
    struct resolver_query q;
    struct resolver_answer answer;
    unsigned told;
    struct asker *cancels; /* when it is told */
    struct scene *asks_again;
    bool was_kept;
};

/* the name server */

static const struct script *script_for(const struct name_server *d, const char *name, uint16_t type)
{
    for (uint32_t i = 0; i < d->count; i++)
        if (!strcmp(d->scripts[i].name, name) && d->scripts[i].type == type) return &d->scripts[i];
    return NULL;
}

static size_t put_u16(uint8_t *to, size_t at, unsigned n)
{
    to[at] = (uint8_t)(n >> 8), to[at + 1] = (uint8_t)n;
    return at + 2;
}

static size_t put_name(uint8_t *to, size_t at, const char *name)
{
    while (*name) {
        size_t len = strcspn(name, ".");
        to[at++] = (uint8_t)len;
        memcpy(to + at, name, len);
        at += len;
        name += len + (name[len] == '.');
    }
    to[at++] = 0;
    return at;
}

static size_t put_record(uint8_t *to, size_t at, const char **owner, const struct record *r)
{
    at = put_name(to, at, *owner);
    at = put_u16(to, at, r->type);
    at = put_u16(to, at, 1);
    at = put_u16(to, at, r->ttl_s >> 16);
    at = put_u16(to, at, r->ttl_s & 0xffff);
    size_t len_at = at;
    at = put_u16(to, at, 0);
    if (r->type == TYPE_CNAME) {
        at = put_name(to, at, r->value);
        *owner = r->value;
    } else {
        assert_int_equal(inet_pton(r->type == TYPE_A ? AF_INET : AF_INET6, r->value, to + at), 1);
        at += r->type == TYPE_A ? 4 : 16;
    }
    put_u16(to, len_at, (unsigned)(at - len_at - 2));
    return at;
}

/* Reads the name and the type of a question; returns where it ends. */
static size_t read_question(const uint8_t *m, size_t len, char *name, uint16_t *type)
{
    size_t at = 12, n = 0;
    while (at < len && m[at]) {
        size_t label = m[at++];
        assert_true(label < 64 && at + label < len);
        if (n) name[n++] = '.';
        memcpy(name + n, m + at, label);
        n += label;
        at += label;
    }
    name[n] = 0;
    assert_true(at + 5 <= len);
    *type = (uint16_t)(m[at + 1] << 8 | m[at + 2]);
    return at + 5;
}

/* The answer to the question in `m`, in its place; 0: none. */
static size_t answer_to(struct name_server *d, uint8_t *m, size_t len, bool is_udp, const struct script **out)
{
    uint16_t type = 0;
    size_t at = read_question(m, len, d->latest, &type);
    const struct script *s = *out = script_for(d, d->latest, type);
    static const struct script unknown = { .code = NO_SUCH_NAME };
    if (!s) s = &unknown;
    d->asked++;
    if (s->is_silent || d->asked <= s->in_vain) return 0;
    bool is_cut = s->is_cut && is_udp;
    const char *owner = d->latest;
    m[2] = (uint8_t)(0x84 | (is_cut ? 2 : 0) | (m[2] & 1));
    m[3] = (uint8_t)(0x80 | s->code);
    put_u16(m, 6, is_cut ? 0 : s->count);
    put_u16(m, 8, 0);
    put_u16(m, 10, 0);
    for (uint32_t i = 0; i < s->count && !is_cut; i++) at = put_record(m, at, &owner, &s->records[i]);
    return s->is_garbage ? at - 3 : at;
}

/* All that somebody who is not asked, or not for this, could send. */
static void lie(const struct name_server *d, const uint8_t *m, size_t len, const struct sockaddr_in *to)
{
    uint8_t other[2048];
    memcpy(other, m, len);
    memset(other + len - 4, 6, 4); /* the address */
    sendto(d->stranger, other, len, 0, (const struct sockaddr *)to, sizeof(*to));
    for (unsigned id = 0; id < 64; id++) {
        other[0] = (uint8_t)(m[0] ^ (id + 1));
        sendto(d->udp, other, len, 0, (const struct sockaddr *)to, sizeof(*to));
    }
    other[0] = m[0];
    other[13] ^= 1; /* of another name's first letter */
    sendto(d->udp, other, len, 0, (const struct sockaddr *)to, sizeof(*to));
    sendto(d->udp, m, 11, 0, (const struct sockaddr *)to, sizeof(*to));
}

static void serve_udp(struct name_server *d)
{
    uint8_t m[4096];
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    const struct script *s;
    ssize_t n;
    while ((n = recvfrom(d->udp, m, 512, MSG_DONTWAIT, (struct sockaddr *)&from, &from_len)) > 0) {
        size_t len = answer_to(d, m, (size_t)n, true, &s);
        if (!len) continue;
        if (s && s->lies_first) lie(d, m, len, &from);
        sendto(d->udp, m, len, 0, (struct sockaddr *)&from, from_len);
    }
}

/* RFC 1035 4.2.2: a length before each message. One connection at a time will do. */
static void serve_tcp(struct name_server *d)
{
    uint8_t m[4096];
    const struct script *s;
    if (d->peer < 0) d->peer = accept4(d->tcp, NULL, NULL, SOCK_NONBLOCK);
    if (d->peer < 0) return;
    ssize_t n = recv(d->peer, m, 514, MSG_PEEK);
    if (n == 0) {
        close(d->peer);
        d->peer = -1;
    }
    if (n < 2 || n < 2 + (m[0] << 8 | m[1])) return;
    n = recv(d->peer, m, (size_t)(2 + (m[0] << 8 | m[1])), 0);
    size_t len = answer_to(d, m + 2, (size_t)n - 2, false, &s);
    d->asked_by_tcp++;
    put_u16(m, 0, (unsigned)len);
    if (len) send(d->peer, m, len + 2, MSG_NOSIGNAL);
}

static int bound(int type, uint16_t port)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = port,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0) return fd;
    close(fd);
    return -1;
}

/* The same port for both: one that is free for UDP may be taken for TCP. */
static void open_name_server(struct name_server *d)
{
    struct sockaddr_in at;
    socklen_t len = sizeof(at);
    *d = (struct name_server){ .tcp = -1, .peer = -1, .stranger = bound(SOCK_DGRAM, 0) };
    for (int i = 0; i < 100 && d->tcp < 0; i++) {
        if (i) close(d->udp);
        d->udp = bound(SOCK_DGRAM, 0);
        assert_true(d->udp >= 0);
        assert_int_equal(getsockname(d->udp, (struct sockaddr *)&at, &len), 0);
        d->tcp = bound(SOCK_STREAM, at.sin_port);
    }
    assert_true(d->tcp >= 0);
    assert_int_equal(listen(d->tcp, 4), 0);
    d->port = ntohs(at.sin_port);
}

/* the scene */

static void open_scene(struct scene *s, const struct script *scripts, uint32_t count)
{
    struct err err;
    memset(s, 0, sizeof(*s));
    open_name_server(&s->dns);
    s->dns.scripts = scripts;
    s->dns.count = count;
    s->budget.limit = 1 << 20;
    assert_int_equal(loop_init(&s->loop, &s->budget, &err), 0);
    s->loop.is_virtual = true;
    s->server.len = sizeof(s->server.sa.in4);
    s->server.sa.in4 = (struct sockaddr_in){ .sin_family = AF_INET,
                                             .sin_port = htons(s->dns.port),
                                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    s->conf = (struct resolver_conf){ .servers = { .data = &s->server, .count = 1 },
                                      .timeout_ms = 60000,
                                      .attempts = 1,
                                      .min_ttl_ms = 1000,
                                      .max_ttl_ms = 10000,
                                      .failure_ttl_ms = 500,
                                      .names = 8 };
    assert_int_equal(resolver_new(&s->resolver, &s->loop, &s->conf, &err), 0);
}

static void close_scene(struct scene *s)
{
    resolver_free(s->resolver);
    assert_int_equal(s->loop.fd_count, 0);
    assert_int_equal(s->loop.timers.count, 0);
    loop_fini(&s->loop);
    close(s->dns.udp);
    close(s->dns.tcp);
    close(s->dns.stranger);
    if (s->dns.peer >= 0) close(s->dns.peer);
}

static void on_answer(struct resolver_query *q, const struct resolver_answer *answer)
{
    struct asker *a = container_of(q, struct asker, q);
    a->told++;
    a->answer = *answer;
    if (a->cancels) resolver_cancel(&a->cancels->q);
    if (a->asks_again)
        a->was_kept = resolver_ask(a->asks_again->resolver, SLICE("a.test"), AF_INET, &a->q, &a->answer);
}

/* True: at once. */
static bool ask(struct scene *s, struct asker *a, const char *name, sa_family_t family)
{
    a->q.on_answer = on_answer;
    return resolver_ask(s->resolver, slice_of(name), family, &a->q, &a->answer);
}

static void turn(struct scene *s)
{
    loop_turn(&s->loop, 1);
    serve_udp(&s->dns);
    serve_tcp(&s->dns);
}

static void wait_for(struct scene *s, const struct asker *a)
{
    for (int i = 0; i < TURNS_MAX && !a->told; i++) turn(s);
    assert_int_equal(a->told, 1);
}

/* Asks, and waits if it must. Returns whether the name server was asked. */
static bool look_up(struct scene *s, struct asker *a, const char *name, sa_family_t family)
{
    unsigned before = s->dns.asked;
    *a = (struct asker){ 0 };
    if (!ask(s, a, name, family)) wait_for(s, a);
    return s->dns.asked != before;
}

static void assert_address(const struct resolver_answer *a, uint32_t index, const char *text)
{
    char printed[INET6_ADDRSTRLEN];
    assert_int_equal(a->result, RESOLVER_OK);
    assert_true(index < a->count);
    assert_string_equal(ip_print(&a->addresses[index], printed), text);
}

static void pass_time(struct scene *s, uint64_t ms)
{
    s->loop.now_ns += ms * NS_PER_MS;
    loop_turn(&s->loop, 0);
}

/* tests */

static const struct record one[] = { { TYPE_A, 3, "192.0.2.1" } };
static const struct record six[] = { { TYPE_AAAA, 3, "2001:db8::6" } };
static const struct record two[] = { { TYPE_A, 30, "192.0.2.2" }, { TYPE_A, 5, "192.0.2.3" } };

static void addresses_come_as_the_name_server_says_them_each_family_for_itself(void **state)
{
    (void)state;
    static const struct record alias[] = { { TYPE_CNAME, 60, "b.test" }, { TYPE_A, 60, "192.0.2.9" } };
    static const struct script scripts[] = {
        { .name = "a.test", .type = TYPE_A, .count = 2, .records = two },
        { .name = "a.test", .type = TYPE_AAAA, .count = 1, .records = six },
        { .name = "alias.test", .type = TYPE_A, .count = 2, .records = alias },
        { .name = "only4.test", .type = TYPE_A, .count = 1, .records = one },
        { .name = "only4.test", .type = TYPE_AAAA, .count = 0 },
        { .name = "mixed.test", .type = TYPE_AAAA, .count = 1, .records = one }, /* not what was asked for */
    };
    struct scene s;
    struct asker a;
    open_scene(&s, scripts, sizeof(scripts) / sizeof(*scripts));
    assert_true(look_up(&s, &a, "a.test", AF_INET));
    assert_int_equal(a.answer.count, 2);
    assert_address(&a.answer, 0, "192.0.2.2");
    assert_address(&a.answer, 1, "192.0.2.3");
    assert_true(look_up(&s, &a, "a.test", AF_INET6));
    assert_int_equal(a.answer.count, 1);
    assert_address(&a.answer, 0, "2001:db8::6");
    assert_true(look_up(&s, &a, "alias.test", AF_INET));
    assert_int_equal(a.answer.count, 1);
    assert_address(&a.answer, 0, "192.0.2.9");
    assert_true(look_up(&s, &a, "only4.test", AF_INET6));
    assert_int_equal(a.answer.result, RESOLVER_NO_NAME);
    assert_int_equal(a.answer.count, 0);
    assert_true(look_up(&s, &a, "mixed.test", AF_INET6));
    assert_int_equal(a.answer.count, 0);
    assert_int_not_equal(a.answer.result, RESOLVER_OK);
    close_scene(&s);
}

static void no_more_addresses_are_taken_than_there_is_room_for(void **state)
{
    (void)state;
    struct record many[20];
    for (unsigned i = 0; i < 20; i++) many[i] = one[0];
    struct script script = { .name = "a.test", .type = TYPE_A, .count = 20, .records = many };
    struct scene s;
    struct asker a;
    open_scene(&s, &script, 1);
    look_up(&s, &a, "a.test", AF_INET);
    assert_int_equal(a.answer.count, RESOLVER_ADDRESSES_MAX);
    close_scene(&s);
}

static void what_the_name_server_cannot_say_is_told_apart(void **state)
{
    (void)state;
    static const struct {
        struct script script;
        enum resolver_result result;
    } cases[] = {
        { { .code = NO_SUCH_NAME }, RESOLVER_NO_NAME },
        { { .code = NO_ERROR }, RESOLVER_NO_NAME },
        { { .code = SERVER_FAILURE }, RESOLVER_FAILED },
        { { .code = REFUSED }, RESOLVER_FAILED },
        { { .count = 2, .records = two, .is_garbage = true }, RESOLVER_FAILED },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct scene s;
        struct asker a;
        struct script script = cases[i].script;
        script.name = "a.test";
        script.type = TYPE_A;
        open_scene(&s, &script, 1);
        look_up(&s, &a, "a.test", AF_INET);
        assert_int_equal(a.answer.result, cases[i].result);
        assert_int_equal(a.answer.count, 0);
        close_scene(&s);
    }
}

/* c-ares goes by a clock of its own: the loop's is set forward until it finds its time to be over. */
static void silence_ends_with_the_time_out_and_after_as_many_attempts(void **state)
{
    (void)state;
    static const struct script scripts[] = {
        { .name = "a.test", .type = TYPE_A, .is_silent = true },
    };
    struct scene s;
    struct asker a = { 0 };
    open_scene(&s, scripts, 1);
    s.conf.timeout_ms = 1;
    s.conf.attempts = 3;
    assert_false(ask(&s, &a, "a.test", AF_INET));
    for (int i = 0; i < TURNS_MAX && !a.told; i++) {
        turn(&s);
        s.loop.now_ns += NS_PER_MS;
    }
    assert_int_equal(a.told, 1);
    assert_int_equal(a.answer.result, RESOLVER_TIMEOUT);
    assert_int_equal(s.dns.asked, 3);
    assert_int_equal(s.loop.timers.count, 0);
    close_scene(&s);
}

static void a_question_that_was_lost_is_asked_again(void **state)
{
    (void)state;
    static const struct script scripts[] = {
        { .name = "a.test", .type = TYPE_A, .count = 1, .records = one, .in_vain = 1 },
    };
    struct scene s;
    struct asker a = { 0 };
    open_scene(&s, scripts, 1);
    s.conf.timeout_ms = 50;
    s.conf.attempts = 10;
    assert_false(ask(&s, &a, "a.test", AF_INET));
    for (int i = 0; i < TURNS_MAX && !a.told; i++) {
        turn(&s);
        s.loop.now_ns += NS_PER_MS;
    }
    assert_address(&a.answer, 0, "192.0.2.1");
    assert_true(s.dns.asked >= 2);
    close_scene(&s);
}

/* The shortest TTL counts; the configuration bounds it both ways. */
static void answers_are_kept_for_their_time(void **state)
{
    (void)state;
    static const struct record brief[] = { { TYPE_A, 0, "192.0.2.1" } };
    static const struct record lasting[] = { { TYPE_A, 86400, "192.0.2.1" } };
    static const struct record endless[] = { { TYPE_A, UINT32_MAX, "192.0.2.1" } };
    static const struct {
        struct script script;
        uint64_t kept_ms;
    } cases[] = {
        { { .count = 1, .records = one }, 3000 },
        { { .count = 2, .records = two }, 5000 },
        { { .count = 1, .records = brief }, 1000 },
        { { .count = 1, .records = lasting }, 10000 },
        { { .count = 1, .records = endless }, 1000 }, /* RFC 2181 8: with the highest bit it is 0 */
        { { .code = NO_SUCH_NAME }, 500 },
        { { .code = SERVER_FAILURE }, 500 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct scene s;
        struct asker a;
        struct script script = cases[i].script;
        script.name = "a.test";
        script.type = TYPE_A;
        open_scene(&s, &script, 1);
        assert_true(look_up(&s, &a, "a.test", AF_INET));
        enum resolver_result first = a.answer.result;
        pass_time(&s, cases[i].kept_ms - 1);
        assert_false(look_up(&s, &a, "a.test", AF_INET));
        assert_int_equal(a.answer.result, first);
        assert_int_equal(a.told, 0); /* at once */
        pass_time(&s, 1);
        assert_true(look_up(&s, &a, "a.test", AF_INET));
        close_scene(&s);
    }
}

static void those_who_ask_for_one_name_share_a_question_and_may_go(void **state)
{
    (void)state;
    static const struct script scripts[] = {
        { .name = "a.test", .type = TYPE_A, .count = 1, .records = one },
    };
    struct scene s;
    struct asker a[5] = { 0 };
    open_scene(&s, scripts, 1);
    a[0].cancels = &a[4]; /* who is told later may be gone by then */
    a[2].asks_again = &s;
    for (int i = 0; i < 5; i++) assert_false(ask(&s, &a[i], i % 2 ? "A.TEST" : "a.test.", AF_INET));
    resolver_cancel(&a[1].q);
    wait_for(&s, &a[0]);
    assert_int_equal(s.dns.asked, 1);
    assert_string_equal(s.dns.latest, "a.test");
    assert_int_equal(a[1].told, 0);
    assert_int_equal(a[2].told, 1);
    assert_true(a[2].was_kept);
    assert_int_equal(a[3].told, 1);
    assert_int_equal(a[4].told, 0);
    assert_address(&a[3].answer, 0, "192.0.2.1");
    resolver_cancel(&a[1].q);
    resolver_cancel(&(struct resolver_query){ 0 });
    close_scene(&s);
}

static void names_that_no_host_has_are_not_asked_for(void **state)
{
    (void)state;
    char label63[64], label64[65], name253[254], name254[255];
    memset(label63, 'x', 63), label63[63] = 0;
    memset(label64, 'x', 64), label64[64] = 0;
    snprintf(name253, sizeof(name253), "%s.%s.%s.%.61s", label63, label63, label63, label63);
    snprintf(name254, sizeof(name254), "%s.%s.%s.%.62s", label63, label63, label63, label63);
    const char *bad[] = { "",    ".",    "..",   "a..test",       ".a",   label64, name254, "a b",
                          "a/b", "a\nb", "a:53", "\xc3\xa4.test", "a%00", "[::1" };
    struct scene s;
    struct asker a;
    open_scene(&s, NULL, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        a = (struct asker){ 0 };
        assert_true(ask(&s, &a, bad[i], AF_INET));
        assert_int_equal(a.answer.result, RESOLVER_NO_NAME);
    }
    a = (struct asker){ 0 };
    assert_true(resolver_ask(s.resolver, (struct slice){ "a\0b", 3 }, AF_INET, &a.q, &a.answer));
    assert_int_equal(a.answer.result, RESOLVER_NO_NAME);
    assert_int_equal(s.dns.asked, 0);
    assert_int_equal(s.loop.fd_count, 0);
    const char *good[] = { label63, name253, "_sip._tcp.test", "a-1.test" };
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        assert_true(look_up(&s, &a, good[i], AF_INET));
        assert_string_equal(s.dns.latest, good[i]);
        assert_int_equal(a.answer.result, RESOLVER_NO_NAME);
    }
    close_scene(&s);
}

static void addresses_and_localhost_are_answered_without_a_question(void **state)
{
    (void)state;
    static const struct {
        const char *name, *address;
        sa_family_t family;
    } cases[] = {
        { "192.0.2.7", "192.0.2.7", AF_INET },     { "2001:db8::7", "2001:db8::7", AF_INET6 },
        { "2001:db8::7", "2001:db8::7", AF_INET }, { "localhost", "127.0.0.1", AF_INET },
        { "LocalHost", "::1", AF_INET6 },
    };
    struct scene s;
    open_scene(&s, NULL, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct asker a = { 0 };
        assert_true(ask(&s, &a, cases[i].name, cases[i].family));
        assert_int_equal(a.answer.count, 1);
        assert_address(&a.answer, 0, cases[i].address);
    }
    assert_int_equal(s.dns.asked, 0);
    close_scene(&s);
}

static void answers_that_nobody_asked_for_are_not_believed(void **state)
{
    (void)state;
    static const struct script scripts[] = {
        { .name = "a.test", .type = TYPE_A, .count = 1, .records = one, .lies_first = true },
    };
    struct scene s;
    struct asker a;
    open_scene(&s, scripts, 1);
    assert_true(look_up(&s, &a, "a.test", AF_INET));
    assert_int_equal(a.answer.count, 1);
    assert_address(&a.answer, 0, "192.0.2.1");
    assert_int_equal(s.dns.asked, 1);
    close_scene(&s);
}

static void an_answer_too_long_for_a_datagram_comes_over_tcp(void **state)
{
    (void)state;
    struct record many[60];
    char text[60][16];
    for (unsigned i = 0; i < 60; i++) {
        snprintf(text[i], sizeof(text[i]), "192.0.2.%u", i + 1);
        many[i] = (struct record){ TYPE_A, 60, text[i] };
    }
    struct script script = { .name = "a.test", .type = TYPE_A, .count = 60, .records = many, .is_cut = true };
    struct scene s;
    struct asker a;
    open_scene(&s, &script, 1);
    assert_true(look_up(&s, &a, "a.test", AF_INET));
    assert_int_equal(s.dns.asked, 2);
    assert_int_equal(s.dns.asked_by_tcp, 1);
    assert_int_equal(a.answer.count, RESOLVER_ADDRESSES_MAX);
    assert_address(&a.answer, 15, "192.0.2.16");
    close_scene(&s);
}

static void no_more_names_are_kept_or_asked_for_than_the_configuration_allows(void **state)
{
    (void)state;
    static const struct script scripts[] = {
        { .name = "a.test", .type = TYPE_A, .count = 1, .records = one },
        { .name = "b.test", .type = TYPE_A, .count = 1, .records = one },
        { .name = "c.test", .type = TYPE_A, .count = 1, .records = one },
        { .name = "silent.test", .type = TYPE_A, .is_silent = true },
        { .name = "mute.test", .type = TYPE_A, .is_silent = true },
    };
    struct scene s;
    struct asker a, waits[2] = { 0 };
    open_scene(&s, scripts, sizeof(scripts) / sizeof(*scripts));
    s.conf.names = 2;
    assert_true(look_up(&s, &a, "a.test", AF_INET));
    assert_true(look_up(&s, &a, "b.test", AF_INET));
    assert_false(look_up(&s, &a, "a.test", AF_INET));
    assert_true(look_up(&s, &a, "c.test", AF_INET)); /* in place of b, which was used longest ago */
    assert_false(look_up(&s, &a, "a.test", AF_INET));
    assert_true(look_up(&s, &a, "b.test", AF_INET));
    assert_false(ask(&s, &waits[0], "silent.test", AF_INET));
    assert_false(ask(&s, &waits[1], "mute.test", AF_INET));
    a = (struct asker){ 0 };
    assert_true(ask(&s, &a, "a.test", AF_INET)); /* both seats are taken by who waits */
    assert_int_equal(a.answer.result, RESOLVER_FULL);
    uint64_t timers = 0, descriptors = 0;
    resolver_reach(s.resolver, &timers, &descriptors);
    assert_int_equal(timers, 1);
    assert_int_equal(descriptors, s.loop.fd_count);
    assert_true(descriptors > 0);
    close_scene(&s); /* who waits is not told */
    assert_int_equal(waits[0].told + waits[1].told, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_come_as_the_name_server_says_them_each_family_for_itself),
        cmocka_unit_test(no_more_addresses_are_taken_than_there_is_room_for),
        cmocka_unit_test(what_the_name_server_cannot_say_is_told_apart),
        cmocka_unit_test(silence_ends_with_the_time_out_and_after_as_many_attempts),
        cmocka_unit_test(a_question_that_was_lost_is_asked_again),
        cmocka_unit_test(answers_are_kept_for_their_time),
        cmocka_unit_test(those_who_ask_for_one_name_share_a_question_and_may_go),
        cmocka_unit_test(names_that_no_host_has_are_not_asked_for),
        cmocka_unit_test(addresses_and_localhost_are_answered_without_a_question),
        cmocka_unit_test(answers_that_nobody_asked_for_are_not_believed),
        cmocka_unit_test(an_answer_too_long_for_a_datagram_comes_over_tcp),
        cmocka_unit_test(no_more_names_are_kept_or_asked_for_than_the_configuration_allows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
