#include "http/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_known_field_has_its_id(void **state)
{
    (void)state;
    for (enum http_field_id id = HTTP_FIELD_OTHER + 1; id < HTTP_FIELD_COUNT; id++) {
        char name[32];
        struct slice s = { name, strlen(http_field_name(id)) };
        memcpy(name, http_field_name(id), s.len);
        assert_int_equal(http_field_id_of(s), id);
        for (size_t i = 0; i < s.len; i++)
            name[i] = (char)(name[i] >= 'a' && name[i] <= 'z' ? name[i] - 32 : name[i]);
        assert_int_equal(http_field_id_of(s), id);
    }
    assert_string_equal(http_field_name(HTTP_FIELD_OTHER), "");
    assert_string_equal(http_field_name(HTTP_FIELD_COUNT), "");
}

/* Every byte of every name is compared, and nothing but a letter's case is forgiven. */
static void names_that_differ_in_one_byte_are_others(void **state)
{
    (void)state;
    for (enum http_field_id id = HTTP_FIELD_OTHER + 1; id < HTTP_FIELD_COUNT; id++) {
        const char *right = http_field_name(id);
        size_t len = strlen(right);
        for (size_t i = 0; i < len; i++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                char name[32];
                memcpy(name, right, len);
                name[i] = (char)byte;
                bool is_same = strncasecmp(name, right, len) == 0 && memchr(name, 0, len) == NULL;
                enum http_field_id got = http_field_id_of((struct slice){ name, len });
                if (is_same != (got == id)) fail_msg("%s with byte %zu 0x%02x gives %u", right, i, byte, got);
            }
        }
    }
}

static void lengths_without_a_known_name_are_others(void **state)
{
    (void)state;
    static const char text[] = "x-request-id-x-request-id-x-request-id";
    for (size_t len = 0; len < sizeof(text); len++) {
        enum http_field_id want = len == 12 ? HTTP_FIELD_X_REQUEST_ID : HTTP_FIELD_OTHER;
        assert_int_equal(http_field_id_of((struct slice){ text, len }), want);
    }
    assert_int_equal(http_field_id_of(SLICE_NONE), HTTP_FIELD_OTHER);
}

static void methods_are_known_by_their_exact_name(void **state)
{
    (void)state;
#define X(id, text, safe, idempotent)                         \
    assert_int_equal(http_method_of(SLICE(text)), HTTP_##id); \
    assert_int_equal(http_method_is_safe(HTTP_##id), safe);   \
    assert_int_equal(http_method_is_idempotent(HTTP_##id), idempotent);
    HTTP_METHODS(X)
#undef X
    static const char *const others[] = { "",       "G",       "get",     "Get",      "GEX",   "PUX",
                                          "POSX",   "HEAX",    "PATC",    "PATCX",    "TRACX", "DELETX",
                                          "OPTION", "OPTIONX", "CONNECX", "PROPFIND", "XXX",   "OPTIONS " };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(http_method_of(slice_of(others[i])), HTTP_OTHER);
    assert_false(http_method_is_safe(HTTP_OTHER));
    assert_false(http_method_is_idempotent(HTTP_OTHER));
}

static void dropped_fields_are_not_found(void **state)
{
    (void)state;
    struct http_field fields[] = {
        { .name = "Via",
          .name_len = 3,
          .value = "1",
          .value_len = 1,
          .id = HTTP_FIELD_VIA,
          .is_dropped = true },
        { .name = "X-Own", .name_len = 5, .value = "2", .value_len = 1 },
        { .name = "via", .name_len = 3, .value = "3", .value_len = 1, .id = HTTP_FIELD_VIA },
        { .name = "VIA", .name_len = 3, .value = "4", .value_len = 1, .id = HTTP_FIELD_VIA },
    };
    struct http_head head = { .fields = fields, .field_count = 4 };
    assert_ptr_equal(http_head_find(&head, HTTP_FIELD_VIA), &fields[2]);
    assert_ptr_equal(http_head_find_name(&head, SLICE("vIA")), &fields[2]);
    assert_ptr_equal(http_head_find_name(&head, SLICE("x-own")), &fields[1]);
    assert_null(http_head_find(&head, HTTP_FIELD_HOST));
    assert_null(http_head_find_name(&head, SLICE("x-ow")));
    assert_true(slice_equal(http_field_value(&fields[2]), SLICE("3")));
    assert_int_equal(http_field_value(NULL).len, 0);
}

static void known_statuses_have_a_text(void **state)
{
    (void)state;
    assert_string_equal(http_status_text(200), "OK");
    assert_string_equal(http_status_text(431), "Request Header Fields Too Large");
    assert_string_equal(http_status_text(502), "Bad Gateway");
    assert_string_equal(http_status_text(299), "");
    assert_string_equal(http_status_text(0), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_known_field_has_its_id),
        cmocka_unit_test(names_that_differ_in_one_byte_are_others),
        cmocka_unit_test(lengths_without_a_known_name_are_others),
        cmocka_unit_test(methods_are_known_by_their_exact_name),
        cmocka_unit_test(dropped_fields_are_not_found),
        cmocka_unit_test(known_statuses_have_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
