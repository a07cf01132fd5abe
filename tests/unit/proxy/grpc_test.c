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
        cmocka_unit_test(weirs_own_answers_have_one),
        cmocka_unit_test(a_message_is_percent_encoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
