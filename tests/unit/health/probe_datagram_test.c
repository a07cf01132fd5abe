/* Probes over UDP of a server that is this test. The clock is virtual: what takes long takes no time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "health/probe.h"

#define TIMEOUT_MS 1000
/* Each waits for what the kernel has to say for a millisecond at most: a bound, not a time that anything takes. */
#define TURNS_MAX 60000

struct scene {
    struct budget budget;
    struct loop loop;
    int socket;
    struct address server, client;
    struct check_dns_conf dns;
    struct check_udp_conf udp;
    struct check_conf conf;
    uint32_t rcodes[2];
    struct probe *probe;
    unsigned ends;
    struct probe_verdict verdict;
    char words[PROBE_WORDS_MAX];
    char question[2048];
    size_t question_len;
};

static void on_end(void *owner, const struct probe_verdict *v)
{
    struct scene *s = owner;
    s->ends++;
    s->probe = NULL;
    s->verdict = *v;
    snprintf(s->words, sizeof(s->words), "%s", v->words);
}

static void open_scene(struct scene *s)
{
    struct err err;
    memset(s, 0, sizeof(*s));
    s->budget.limit = 64 << 20;
    assert_int_equal(loop_init(&s->loop, &s->budget, &err), 0);
    s->loop.is_virtual = true;
    s->rcodes[1] = 3;
    s->dns = (struct check_dns_conf){ .name = "example.org", .rcodes = { s->rcodes, 2 } };
    s->udp = (struct check_udp_conf){ "status", "=ok" };
    s->conf = (struct check_conf){
        .dns = &s->dns, .interval_ms = 5000, .changing_ms = 1000, .timeout_ms = TIMEOUT_MS, .over_tls = true
    };
    s->socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    s->server.sa.in4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    s->server.len = sizeof(s->server.sa.in4);
    assert_true(s->socket >= 0);
    assert_int_equal(bind(s->socket, &s->server.sa.any, s->server.len), 0);
    assert_int_equal(getsockname(s->socket, &s->server.sa.any, &s->server.len), 0);
}

static void close_scene(struct scene *s)
{
    if (s->probe) probe_cancel(s->probe);
    loop_turn(&s->loop, 0);
    assert_int_equal(s->loop.timers.count, 0);
    assert_int_equal(s->loop.fd_count, 0);
    close(s->socket);
    loop_fini(&s->loop);
}

static void begin(struct scene *s)
{
    const struct probe_target target = {
        .to = &s->server, .conf = &s->conf, .host = "10.0.0.1:53", .on_end = on_end, .owner = s
    };
    s->ends = 0;
    s->probe = probe_start(&s->loop, &target);
}

/* Turns until the question is here. */
static void meet(struct scene *s)
{
    ssize_t n = -1;
    begin(s);
    assert_non_null(s->probe);
    for (int i = 0; i < TURNS_MAX && n < 0; i++) {
        loop_turn(&s->loop, 1);
        s->client.len = sizeof(s->client.sa);
        n = recvfrom(s->socket, s->question, sizeof(s->question), MSG_DONTWAIT, &s->client.sa.any,
                     &s->client.len);
    }
    assert_true(n >= 0);
    s->question_len = (size_t)n;
}

static void tell(struct scene *s, const void *data, size_t len)
{
    assert_int_equal(sendto(s->socket, data, len, 0, &s->client.sa.any, s->client.len), (ssize_t)len);
}

/* The question as its answer, with a rcode. */
static void answer(struct scene *s, unsigned rcode)
{
    s->question[2] = (char)0x81;
    s->question[3] = (char)(0x80 | rcode);
    tell(s, s->question, s->question_len);
}

static void await_end(struct scene *s)
{
    for (int i = 0; i < TURNS_MAX && !s->ends; i++) loop_turn(&s->loop, 1);
    assert_int_equal(s->ends, 1);
}

/* What was sent is here, whatever it is. */
static void let_turn(struct scene *s)
{
    for (int i = 0; i < 10; i++) loop_turn(&s->loop, 1);
    assert_int_equal(s->ends, 0);
}

static void assert_failed(struct scene *s, const char *words)
{
    if (s->verdict.result != PROBE_FAILED || !strstr(s->words, words))
        fail_msg("result %d: %s, and not: %s", (int)s->verdict.result, s->words, words);
}

static void let_time_out(struct scene *s)
{
    s->loop.now_ns += TIMEOUT_MS * NS_PER_MS;
    loop_turn(&s->loop, 0);
    assert_int_equal(s->ends, 1);
}

static void the_rcode_decides(void **state)
{
    (void)state;
    static const struct {
        unsigned rcode;
        const char *words; /* NULL: it passes */
    } rows[] = { { 0, NULL },
                 { 3, NULL },
                 { 2, "A example.org was answered with SERVFAIL" },
                 { 5, "A example.org was answered with REFUSED" },
                 { 15, "A example.org was answered with the rcode 15" } };
    struct scene s;
    open_scene(&s);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        meet(&s);
        answer(&s, rows[i].rcode);
        await_end(&s);
        if (rows[i].words)
            assert_failed(&s, rows[i].words);
        else
            assert_int_equal(s.verdict.result, PROBE_PASSED);
        assert_int_equal(s.verdict.status, 0);
    }
    close_scene(&s);
}

static void an_answer_that_is_cut_short_is_one(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    meet(&s);
    s.question[2] = (char)0x83;
    tell(&s, s.question, s.question_len);
    await_end(&s);
    assert_int_equal(s.verdict.result, PROBE_PASSED);
    close_scene(&s);
}

static void what_is_no_answer_is_passed_over(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    meet(&s);
    tell(&s, "", 0);
    tell(&s, s.question, s.question_len); /* it is sent back */
    s.question[0] ^= 1;
    answer(&s, 0); /* another id */
    let_turn(&s);
    s.question[0] ^= 1;
    answer(&s, 0);
    await_end(&s);
    assert_int_equal(s.verdict.result, PROBE_PASSED);
    meet(&s);
    tell(&s, "", 0);
    tell(&s, s.question, s.question_len);
    let_turn(&s);
    let_time_out(&s);
    assert_failed(
        &s, "no answer to A example.org within 1000 ms: 2 datagrams came that are none, the last because it "
            "is a question itself");
    close_scene(&s);
}

static void what_others_send_does_not_come(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    meet(&s);
    int other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    s.question[2] = (char)0x81;
    assert_int_equal(sendto(other, s.question, s.question_len, 0, &s.client.sa.any, s.client.len),
                     (ssize_t)s.question_len);
    close(other);
    let_turn(&s);
    let_time_out(&s);
    assert_failed(&s, "no answer to A example.org within 1000 ms");
    assert_null(strstr(s.words, "datagrams"));
    close_scene(&s);
}

static void ids_and_ports_are_new_each_time(void **state)
{
    (void)state;
    struct scene s;
    uint16_t ids[32], ports[32];
    unsigned same_ids = 0, same_ports = 0;
    open_scene(&s);
    for (size_t i = 0; i < 32; i++) {
        meet(&s);
        memcpy(&ids[i], s.question, 2);
        ports[i] = s.client.sa.in4.sin_port;
        if (i && ids[i] == ids[i - 1]) same_ids++;
        if (i && ports[i] == ports[i - 1]) same_ports++;
        answer(&s, 0);
        await_end(&s);
    }
    assert_true(same_ids < 4 && same_ports < 16);
    close_scene(&s);
}

static void a_closed_port_is_a_refusal(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    close(s.socket);
    begin(&s);
    await_end(&s);
    assert_failed(&s, "nobody has the server's port: ICMP says so");
    s.socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    close_scene(&s);
}

/* Each turn takes one, so that who sends without end is one of many. */
static void a_flood_of_what_is_no_answer_does_not_prolong_it(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    meet(&s);
    for (int i = 0; i < 500; i++) {
        tell(&s, "no answer at all", 16);
        uint64_t turns = s.loop.turns;
        loop_turn(&s.loop, 0);
        assert_int_equal(s.loop.turns, turns + 1);
        assert_int_equal(s.ends, 0);
    }
    let_time_out(&s);
    assert_failed(&s, "datagrams came that are none, the last because its id is not the question's");
    close_scene(&s);
}

static void any_datagram_can_be_the_question(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    s.conf.dns = NULL;
    s.conf.udp = &s.udp;
    meet(&s);
    assert_int_equal(s.question_len, 6);
    assert_memory_equal(s.question, "status", 6);
    tell(&s, "state=ok", 8);
    await_end(&s);
    assert_int_equal(s.verdict.result, PROBE_PASSED);
    static const char *const wrong[] = { "state=", "" };
    for (size_t i = 0; i < 2; i++) {
        meet(&s);
        tell(&s, wrong[i], strlen(wrong[i]));
        await_end(&s);
        assert_failed(&s, "what the server answers does not have \"=ok\"");
    }
    meet(&s);
    let_time_out(&s);
    assert_failed(&s, "no word that has \"=ok\" within 1000 ms");
    close_scene(&s);
}

static void one_that_is_cancelled_says_nothing(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    meet(&s);
    probe_cancel(s.probe);
    s.probe = NULL;
    answer(&s, 0);
    let_turn(&s);
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rcode_decides),
        cmocka_unit_test(an_answer_that_is_cut_short_is_one),
        cmocka_unit_test(what_is_no_answer_is_passed_over),
        cmocka_unit_test(what_others_send_does_not_come),
        cmocka_unit_test(ids_and_ports_are_new_each_time),
        cmocka_unit_test(a_closed_port_is_a_refusal),
        cmocka_unit_test(a_flood_of_what_is_no_answer_does_not_prolong_it),
        cmocka_unit_test(any_datagram_can_be_the_question),
        cmocka_unit_test(one_that_is_cancelled_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
