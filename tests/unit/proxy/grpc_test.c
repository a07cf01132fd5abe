#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "proxy/grpc.h"

static bool is_asked(enum http_version version, const char *type)
{
    struct http_field field = { .name = "content-type",
                                .name_len = 12,
                                .value = type,
                                .value_len = (uint32_t)strlen(type),
                                .id = HTTP_FIELD_CONTENT_TYPE };
    struct http_head head = { .version = version, .fields = &field, .field_count = 1 };
    return grpc_is_asked(&head);
}

static void it_is_asked_by_its_type_over_http2_alone(void **state)
{
    (void)state;
    assert_true(is_asked(HTTP_VERSION_2, "application/grpc"));
    assert_true(is_asked(HTTP_VERSION_2, "application/grpc+proto"));
    assert_true(is_asked(HTTP_VERSION_2, "Application/gRPC; charset=x"));
    assert_false(is_asked(HTTP_VERSION_2, "application/grpc-web"));
    assert_false(is_asked(HTTP_VERSION_2, "application/grp"));
    assert_false(is_asked(HTTP_VERSION_2, "text/plain"));
    assert_false(is_asked(HTTP_VERSION_1_1, "application/grpc"));
    assert_false(grpc_is_asked(&(struct http_head){ .version = HTTP_VERSION_2 }));
}

/* To one that asks for a tunnel an error with status 200 would say that it is open. */
static void it_is_not_asked_by_who_asks_for_a_tunnel(void **state)
{
    (void)state;
    struct http_field field = { .name = "content-type",
                                .name_len = 12,
                                .value = "application/grpc",
                                .value_len = 16,
                                .id = HTTP_FIELD_CONTENT_TYPE };
    struct http_head head = { .version = HTTP_VERSION_2, .fields = &field, .field_count = 1 };
    assert_true(grpc_is_asked(&head));
    head.upgrade = SLICE("websocket");
    assert_false(grpc_is_asked(&head));
}

static uint8_t status_in(const char *value)
{
    struct http_field fields[] = {
        { .name = "grpc-statue", .name_len = 11, .value = "1", .value_len = 1 },
        { .name = "Grpc-Status", .name_len = 11, .value = value, .value_len = (uint32_t)strlen(value) }
    };
    return grpc_status_in(fields, 2);
}

static void a_status_is_one_of_seventeen(void **state)
{
    (void)state;
    assert_int_equal(status_in("0"), GRPC_OK);
    assert_int_equal(status_in("14"), GRPC_UNAVAILABLE);
    assert_int_equal(status_in("16"), GRPC_UNAUTHENTICATED);
    assert_int_equal(status_in("17"), GRPC_UNKNOWN);
    assert_int_equal(status_in("123"), GRPC_UNKNOWN);
    assert_int_equal(status_in(""), GRPC_UNKNOWN);
    assert_int_equal(status_in("-1"), GRPC_UNKNOWN);
    assert_int_equal(grpc_status_in(NULL, 0), GRPC_NONE);
    for (unsigned i = 0; i < GRPC_STATUSES; i++)
        assert_int_equal(status_in(grpc_status_text((enum grpc_status)i)), i);
}

static bool timeout_in(struct slice value, uint64_t *ms)
{
    const struct http_field fields[] = {
        { .name = "x", .name_len = 1, .value = "1S", .value_len = 2 },
        { .name = "Grpc-Timeout", .name_len = 12, .value = value.data, .value_len = (uint32_t)value.len }
    };
    *ms = 0;
    return grpc_timeout_in(fields, 2, ms);
}

static void a_timeout_is_a_number_and_a_unit(void **state)
{
    (void)state;
    static const struct {
        struct slice value;
        uint64_t ms;
    } rows[] = {
        { { "1H", 2 }, 3600000 },
        { { "2M", 2 }, 120000 },
        { { "20S", 3 }, 20000 },
        { { "250m", 4 }, 250 },
        { { "1500u", 5 }, 2 },
        { { "1n", 2 }, 1 },
        { { "99999999n", 9 }, 100 },
        { { "99999999u", 9 }, 100000 },
        { { "99999999H", 9 }, UINT64_C(359999996400000) },
        { { "00000007S", 9 }, 7000 },
        { { "0n", 2 }, 0 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        uint64_t ms;
        assert_true(timeout_in(rows[i].value, &ms));
        assert_int_equal(ms, rows[i].ms);
    }
}

static void what_is_no_timeout_bounds_nothing(void **state)
{
    (void)state;
    static const struct slice rows[] = { { "", 0 },     { "S", 1 },    { "1", 1 },           { "1s", 2 },
                                         { "1h", 2 },   { "-1S", 3 },  { "+1S", 3 },         { "1.5S", 4 },
                                         { "1 S", 3 },  { "1SS", 3 },  { "123456789S", 10 }, { "0x1S", 4 },
                                         { "1\0S", 3 }, { "1S,2S", 5 } };
    uint64_t ms = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) assert_false(timeout_in(rows[i], &ms));
    const struct http_field f = { .name = "grpc-timeout", .name_len = 12, .value = "1S", .value_len = 2 };
    const struct http_field twice[] = { f, f };
    assert_true(grpc_timeout_in(twice, 1, &ms));
    assert_false(grpc_timeout_in(twice, 2, &ms));
    assert_false(grpc_timeout_in(NULL, 0, &ms));
}

static void weirs_own_answers_have_one(void **state)
{
    (void)state;
    assert_int_equal(grpc_status_of(504, true), GRPC_DEADLINE_EXCEEDED);
    assert_int_equal(grpc_status_of(504, false), GRPC_UNAVAILABLE);
    assert_int_equal(grpc_status_of(503, false), GRPC_UNAVAILABLE);
    assert_int_equal(grpc_status_of(404, false), GRPC_UNIMPLEMENTED);
    assert_int_equal(grpc_status_of(403, false), GRPC_PERMISSION_DENIED);
    assert_int_equal(grpc_status_of(401, false), GRPC_UNAUTHENTICATED);
    assert_int_equal(grpc_status_of(429, false), GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(grpc_status_of(400, false), GRPC_INTERNAL);
}

static void a_message_is_percent_encoded(void **state)
{
    (void)state;
    char memory[64];
    struct text t = text_over(memory, sizeof(memory));
    grpc_put_message(&t, SLICE("50% \"a\"\n\xc3\xa4~"));
    text_add_char(&t, '\0');
    assert_string_equal(memory, "50%25 \"a\"%0a%c3%a4~");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_asked_by_its_type_over_http2_alone),
        cmocka_unit_test(it_is_not_asked_by_who_asks_for_a_tunnel),
        cmocka_unit_test(a_status_is_one_of_seventeen),
        cmocka_unit_test(a_timeout_is_a_number_and_a_unit),
        cmocka_unit_test(what_is_no_timeout_bounds_nothing),
        cmocka_unit_test(weirs_own_answers_have_one),
        cmocka_unit_test(a_message_is_percent_encoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
