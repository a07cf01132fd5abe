/* Probes over UDP of a server that is this test. The clock is virtual: what takes long takes no time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "health/probing.h"

struct scene {
    struct probing p;
    struct address client;
    struct check_dns_conf dns;
    struct check_udp_conf udp;
    uint32_t rcodes[2];
    char question[2048];
    size_t question_len;
};

static void open_scene(struct scene *s)
{
    memset(s, 0, sizeof(*s));
    probing_open(&s->p, SOCK_DGRAM);
    s->rcodes[1] = 3;
    s->dns = (struct check_dns_conf){ .name = "example.org", .rcodes = { s->rcodes, 2 } };
    s->udp = (struct check_udp_conf){ "status", "=ok" };
    s->p.conf.dns = &s->dns;
    s->p.conf.over_tls = true;
}

static void close_scene(struct scene *s)
{
    probing_close(&s->p);
}

/* Turns until the question is here. */
static void meet(struct scene *s)
{
    ssize_t n = -1;
    probing_begin(&s->p);
    assert_non_null(s->p.probe);
    for (int i = 0; i < TURNS_MAX && n < 0; i++) {
        loop_turn(&s->p.loop, 1);
        s->client.len = sizeof(s->client.sa);
        n = recvfrom(s->p.socket, s->question, sizeof(s->question), MSG_DONTWAIT, &s->client.sa.any,
                     &s->client.len);
    }
    assert_true(n >= 0);
    s->question_len = (size_t)n;
}

static void tell(struct scene *s, const void *data, size_t len)
{
    assert_int_equal(sendto(s->p.socket, data, len, 0, &s->client.sa.any, s->client.len), (ssize_t)len);
}

/* The question as its answer, with a rcode. */
static void answer(struct scene *s, unsigned rcode)
{
    s->question[2] = (char)0x81;
    s->question[3] = (char)(0x80 | rcode);
    tell(s, s->question, s->question_len);
}

/* What was sent is here, whatever it is. */
static void let_turn(struct scene *s)
{
    for (int i = 0; i < 10; i++) loop_turn(&s->p.loop, 1);
    assert_int_equal(s->p.ends, 0);
}

static void let_time_out(struct scene *s)
{
    s->p.loop.now_ns += PROBING_TIMEOUT_MS * NS_PER_MS;
    loop_turn(&s->p.loop, 0);
    assert_int_equal(s->p.ends, 1);
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
        probing_await_end(&s.p);
        if (rows[i].words)
            probing_assert_failed(&s.p, rows[i].words);
        else
            assert_int_equal(s.p.verdict.result, PROBE_PASSED);
        assert_int_equal(s.p.verdict.status, 0);
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
    probing_await_end(&s.p);
    assert_int_equal(s.p.verdict.result, PROBE_PASSED);
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
    probing_await_end(&s.p);
    assert_int_equal(s.p.verdict.result, PROBE_PASSED);
    meet(&s);
    tell(&s, "", 0);
    tell(&s, s.question, s.question_len);
    let_turn(&s);
    let_time_out(&s);
    probing_assert_failed(
        &s.p,
        "no answer to A example.org within 1000 ms: 2 datagrams came that are none, the last because it "
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
    probing_assert_failed(&s.p, "no answer to A example.org within 1000 ms");
    assert_null(strstr(s.p.words, "datagrams"));
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
        probing_await_end(&s.p);
    }
    assert_true(same_ids < 4 && same_ports < 16);
    close_scene(&s);
}

static void a_closed_port_is_a_refusal(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    close(s.p.socket);
    probing_begin(&s.p);
    probing_await_end(&s.p);
    probing_assert_failed(&s.p, "nobody has the server's port: ICMP says so");
    s.p.socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
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
        uint64_t turns = s.p.loop.turns;
        loop_turn(&s.p.loop, 0);
        assert_int_equal(s.p.loop.turns, turns + 1);
        assert_int_equal(s.p.ends, 0);
    }
    let_time_out(&s);
    probing_assert_failed(&s.p,
                          "datagrams came that are none, the last because its id is not the question's");
    close_scene(&s);
}

static void any_datagram_can_be_the_question(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    s.p.conf.dns = NULL;
    s.p.conf.udp = &s.udp;
    meet(&s);
    assert_int_equal(s.question_len, 6);
    assert_memory_equal(s.question, "status", 6);
    tell(&s, "state=ok", 8);
    probing_await_end(&s.p);
    assert_int_equal(s.p.verdict.result, PROBE_PASSED);
    static const char *const wrong[] = { "state=", "" };
    for (size_t i = 0; i < 2; i++) {
        meet(&s);
        tell(&s, wrong[i], strlen(wrong[i]));
        probing_await_end(&s.p);
        probing_assert_failed(&s.p, "what the server answers does not have \"=ok\"");
    }
    meet(&s);
    let_time_out(&s);
    probing_assert_failed(&s.p, "no word that has \"=ok\" within 1000 ms");
    close_scene(&s);
}

static void one_that_is_cancelled_says_nothing(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    meet(&s);
    probe_cancel(s.p.probe);
    s.p.probe = NULL;
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
