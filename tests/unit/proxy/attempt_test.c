/* One try at one server: what is held, put down and told, once each, however it goes. */
#include "proxy/attempt.h"

#include "pool/crew.h"

struct scene {
    struct crew crew;
    struct server *server;
    struct flight_record record;
    struct attempt attempt;
};

/* Loopback's port 1 refuses, a moment later. */
static void open_scene(struct scene *s, bool is_copy)
{
    struct err err;
    crew_init(&s->crew, "least_request", 1);
    assert_int_equal(address_parse(SLICE("127.0.0.1:1"), true, &s->crew.servers[0].address, &err), 0);
    crew_start(&s->crew, 1);
    s->server = s->crew.pool->roster->places[0].server;
    flight_init(&s->record);
    s->attempt = (struct attempt){ .pool = s->crew.workers[0],
                                   .view = pool_view_get(s->crew.workers[0]),
                                   .record = is_copy ? NULL : &s->record };
}

static void close_scene(struct scene *s)
{
    pool_view_put(s->attempt.view);
    crew_stop(&s->crew);
}

static uint64_t counted(const struct scene *s, uint32_t meter)
{
    return metric_sum(s->crew.metrics, meter);
}

static void begin(struct scene *s)
{
    enum end_reason why = END_NONE;
    assert_int_equal(attempt_lease(&s->attempt, s->server, BALANCE_ONLY_ONE, LEASE_ANY, NULL, &why),
                     LEASE_OPENING);
    assert_true(attempt_is_in_hand(&s->attempt));
    assert_int_equal(s->server->peer.in_flight, 1);
}

static void a_failure_is_put_down_and_told_once(void **state)
{
    (void)state;
    for (int is_copy = 0; is_copy < 2; is_copy++) {
        struct scene s;
        open_scene(&s, is_copy);
        begin(&s);
        attempt_end(&s.attempt, END_CONNECT_REFUSED);
        attempt_end(&s.attempt, END_CLIENT_ABORT); /* what comes later is another's end */
        assert_int_equal(s.attempt.end, END_CONNECT_REFUSED);
        crew_turns(&s.crew, 1);
        assert_int_equal(s.server->state.failures, 1); /* of a copy too: the server cannot be reached */
        assert_int_equal(counted(&s, s.server->meter_attempts), !is_copy);
        assert_int_equal(counted(&s, s.server->meter_failures), !is_copy);
        assert_int_equal(s.record.attempt_count, !is_copy);
        if (!is_copy) assert_int_equal(s.record.attempts[0].end, END_CONNECT_REFUSED);
        attempt_leave(&s.attempt);
        attempt_leave(&s.attempt);
        assert_false(attempt_is_in_hand(&s.attempt));
        assert_int_equal(s.server->peer.in_flight, 0);
        crew_turns(&s.crew, 2);
        close_scene(&s);
    }
}

static void what_was_weirs_or_the_clients_doing_is_no_failure_of_the_server(void **state)
{
    (void)state;
    static const enum end_reason reasons[] = { END_OK, END_CLIENT_ABORT, END_TOTAL_TIMEOUT,
                                               END_BODY_TOO_LARGE };
    for (unsigned i = 0; i < sizeof(reasons) / sizeof(*reasons); i++) {
        struct scene s;
        open_scene(&s, false);
        begin(&s);
        attempt_end(&s.attempt, reasons[i]);
        attempt_leave(&s.attempt);
        crew_turns(&s.crew, 2);
        assert_int_equal(s.server->state.failures, 0);
        assert_int_equal(counted(&s, s.server->meter_failures), 0);
        assert_int_equal(s.record.attempts[0].end, reasons[i]);
        close_scene(&s);
    }
}

static void a_tunnels_attempt_counts_a_connection_of_its_own(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, false);
    server_set_caps(s.server, 1, 1, NULL);
    assert_true(attempt_enter(&s.attempt, s.server, BALANCE_ONLY_ONE));
    assert_int_equal(s.server->peer.in_flight, 1);
    assert_int_equal(s.server->peer.open_connections, 1);
    struct attempt other = s.attempt;
    other.server = NULL;
    assert_false(attempt_enter(&other, s.server, BALANCE_ONLY_ONE)); /* full: none has begun */
    assert_int_equal(s.record.attempt_count, 1);
    attempt_opened(&s.attempt);
    assert_int_not_equal(s.record.attempts[0].connect_us, FLIGHT_NEVER);
    attempt_end(&s.attempt, END_SERVER_RESET);
    assert_int_equal(counted(&s, s.server->meter_failures), 1);
    attempt_leave(&s.attempt);
    assert_int_equal(s.server->peer.in_flight, 0);
    assert_int_equal(s.server->peer.open_connections, 0);
    close_scene(&s);
}

static void one_after_another_is_put_down_with_its_own_answer(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, false);
    for (unsigned i = 0; i < 2; i++) {
        begin(&s);
        attempt_answered(&s.attempt, i ? 200 : 503);
        attempt_end(&s.attempt, i ? END_OK : END_RESPONSE_CUT);
        attempt_leave(&s.attempt);
        crew_turns(&s.crew, 2);
    }
    assert_int_equal(s.record.attempt_count, 2);
    assert_int_equal(s.record.attempts[0].status, 503);
    assert_int_equal(s.record.attempts[0].end, END_RESPONSE_CUT);
    assert_int_equal(s.record.attempts[1].status, 200);
    assert_int_equal(s.record.attempts[1].end, END_OK);
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_is_put_down_and_told_once),
        cmocka_unit_test(what_was_weirs_or_the_clients_doing_is_no_failure_of_the_server),
        cmocka_unit_test(a_tunnels_attempt_counts_a_connection_of_its_own),
        cmocka_unit_test(one_after_another_is_put_down_with_its_own_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
