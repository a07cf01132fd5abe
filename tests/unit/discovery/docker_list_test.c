#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "discovery/docker_list.h"

#define HEAD "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"

static struct docker_list list;

static void read_ok(const char *text)
{
    struct err err = { "" };
    if (docker_list_read(slice_of(text), &list, &err) < 0) fail_msg("%s: %s", text, err.text);
}

static void assert_found(uint32_t n, const char *name, const char *address, int weight)
{
    char text[ADDRESS_TEXT_MAX];
    assert_true(n < list.count);
    assert_string_equal(list.found[n].name, name);
    assert_string_equal(address_print(&list.found[n].address, text), address);
    assert_int_equal(list.found[n].has_weight, weight >= 0);
    if (weight >= 0) assert_int_equal(list.found[n].weight, weight);
}

static void containers_that_run_are_servers(void **state)
{
    (void)state;
    read_ok(
        HEAD
        "[{\"Id\":\"8dfa\",\"Names\":[\"/app-1\"],\"State\":\"running\",\"Status\":\"Up 5 minutes "
        "(healthy)\","
        "\"Labels\":{\"app\":\"web\",\"weir.port\":\"8080\",\"weir.weight\":\"3\"},"
        "\"Ports\":[{\"PrivatePort\":80,\"Type\":\"tcp\"},{\"PrivatePort\":81,\"Type\":\"tcp\"}],"
        "\"NetworkSettings\":{\"Networks\":{\"none\":{\"IPAddress\":\"\"},\"a\":{\"IPAddress\":\"172.17.0."
        "2\"}}}},"
        "{\"Id\":\"17\",\"Names\":[\"/app/2\\n\"],\"State\":\"running\",\"Labels\":{\"weir.network\":\"b\"},"
        "\"Ports\":[{\"PrivatePort\":53,\"Type\":\"udp\"},{\"PrivatePort\":90,\"PublicPort\":1,\"Type\":"
        "\"tcp\"},"
        "{\"PrivatePort\":90,\"PublicPort\":2,\"Type\":\"tcp\"}],"
        "\"NetworkSettings\":{\"Networks\":{\"a\":{\"IPAddress\":\"172.17.0.3\"},"
        "\"b\":{\"IPAddress\":\"\",\"GlobalIPv6Address\":\"2001:db8::3\"}}}}]");
    assert_int_equal(list.count, 2);
    assert_int_equal(list.left_out, 0);
    assert_found(0, "app-1", "172.17.0.2:8080", 3);
    assert_found(1, "app2", "[2001:db8::3]:90", -1);
    read_ok(HEAD "[]");
    assert_int_equal(list.count, 0);
}

static void those_that_are_not_ready_are_none(void **state)
{
    (void)state;
    static const char *const states[] = { "\"State\":\"exited\"", "\"State\":\"paused\"",
                                          "\"State\":\"running\",\"Status\":\"Up 1 s (health: starting)\"",
                                          "\"State\":\"running\",\"Status\":\"Up 1 h (unhealthy)\"" };
    for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++) {
        char text[600];
        snprintf(text, sizeof(text),
                 HEAD "[{%s,\"Ports\":[{\"PrivatePort\":80,\"Type\":\"tcp\"}],"
                      "\"NetworkSettings\":{\"Networks\":{\"a\":{\"IPAddress\":\"172.17.0.2\"}}}}]",
                 states[i]);
        read_ok(text);
        assert_int_equal(list.count + list.left_out, 0);
    }
}

static void what_a_container_lacks_is_said_and_the_others_are_taken(void **state)
{
    (void)state;
    static const struct {
        const char *parts, *why;
    } cases[] = {
        { "\"Ports\":[]", "exposes no port or several" },
        { "\"Ports\":[{\"PrivatePort\":80,\"Type\":\"tcp\"},{\"PrivatePort\":81,\"Type\":\"tcp\"}]",
          "exposes no port or several" },
        { "\"Labels\":{\"weir.port\":\"http\"}", "weir.port is no port" },
        { "\"Labels\":{\"weir.port\":\"65536\"}", "weir.port is no port" },
        { "\"Labels\":{\"weir.port\":\"80\",\"weir.network\":\"b\"}", "no address in a network" },
        { "\"Labels\":{\"weir.port\":\"80\",\"weir.weight\":\"-1\"}", "weir.weight is no weight" },
        { "\"Labels\":7,\"Ports\":\"none\"", "exposes no port or several" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char text[1200];
        snprintf(
            text, sizeof(text),
            HEAD
            "[{\"Id\":\"x\",%s,\"NetworkSettings\":{\"Networks\":{\"a\":{\"IPAddress\":\"172.17.0.2\"}}}},"
            "{\"Id\":\"y\",\"Labels\":{\"weir.port\":\"80\"},"
            "\"NetworkSettings\":{\"Networks\":{\"a\":{\"IPAddress\":\"172.17.0.3\"}}}}, 7]",
            cases[i].parts);
        read_ok(text);
        assert_int_equal(list.count, 1);
        assert_found(0, "y", "172.17.0.3:80", -1);
        assert_int_equal(list.left_out, 1);
        assert_string_equal(list.left_out_name, "x");
        if (!strstr(list.left_out_why, cases[i].why)) fail_msg("%s: %s", cases[i].parts, list.left_out_why);
    }
}

static void what_is_no_list_is_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        { "", "ends before its head does" },
        { "HTTP/1.0 200 OK\r\n", "ends before its head does" },
        { "HTTP/1.0 400 Bad Request\r\n\r\n{\"message\":\"no\"}",
          "Docker answers \"HTTP/1.0 400 Bad Request\"" },
        { "220 smtp\r\n\r\n", "Docker answers \"220 smtp\"" },
        { HEAD "[{]", "no JSON" },
        { HEAD "", "no JSON" },
        { HEAD "{}", "no list of containers" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct err err = { "" };
        assert_int_equal(docker_list_read(slice_of(cases[i].text), &list, &err), -1);
        if (!strstr(err.text, cases[i].error)) fail_msg("%s: %s", cases[i].text, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(containers_that_run_are_servers),
        cmocka_unit_test(those_that_are_not_ready_are_none),
        cmocka_unit_test(what_a_container_lacks_is_said_and_the_others_are_taken),
        cmocka_unit_test(what_is_no_list_is_refused_with_the_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
