#include "record/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

static const char *no_name(void *ctx, uint32_t id)
{
    (void)ctx, (void)id;
    return NULL;
}

static const struct span_source source = { "weir", "1", "here", 1, { .name_of = no_name } };

static struct span_record exchange(unsigned attempts)
{
    struct span_record s = { .context = { .trace_id = "trace", .span_id = "span" } };
    flight_init(&s.flight);
    for (unsigned i = 0; i < attempts; i++) {
        flight_begin_attempt(&s.flight, 1, BALANCE_ONLY_ONE, false);
        s.attempts[flight_kept_attempts(&s.flight) - 1].id[0] = (uint8_t)(i + 1);
    }
    return s;
}

/* The numbers of those that were sent again, in order, as text. */
static void resends(const struct span_record *s, char *out, size_t size)
{
    static const char key[] = "\"http.request.resend_count\",\"value\":{\"intValue\":\"";
    struct json j;
    json_init(&j, 1 << 16, false);
    json_array(&j);
    span_print(&source, s, &j);
    json_array_end(&j);
    assert_false(j.is_failed);
    char *text = strndup(j.data, j.len);
    size_t len = 0;
    out[0] = 0;
    for (const char *at = text; (at = strstr(at, key)); at += sizeof(key) - 1)
        len += (size_t)snprintf(out + len, size - len, "%d ", atoi(at + sizeof(key) - 1));
    free(text);
    json_fini(&j);
}

static void each_attempt_says_how_often_it_was_sent_before(void **state)
{
    (void)state;
    char told[64];
    struct span_record s = exchange(1);
    resends(&s, told, sizeof(told));
    assert_string_equal(told, "");
    s = exchange(FLIGHT_ATTEMPTS);
    resends(&s, told, sizeof(told));
    assert_string_equal(told, "1 2 3 ");
}

static void so_does_the_last_of_more_than_are_kept(void **state)
{
    (void)state;
    char told[64];
    struct span_record s = exchange(7);
    resends(&s, told, sizeof(told));
    assert_string_equal(told, "1 2 6 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_attempt_says_how_often_it_was_sent_before),
        cmocka_unit_test(so_does_the_last_of_more_than_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
