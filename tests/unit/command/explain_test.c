#include "command/explain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "command/document.h"

#define REQUEST                                                                                         \
    "\"listener\": \"web\", \"request\": {\"method\": \"GET\", \"host\": \"example.com\", \"target\": " \
    "\"/v1/x?q=1\", \"client\": \"127.0.0.1\"}"

static void expect(const char *json, const char *story)
{
    struct err err;
    struct conf_tree tree;
    char *text = NULL;
    size_t len = 0;
    if (document_read(&tree, slice_of(json), &err) < 0) fail_msg("%s", err.text);
    FILE *out = open_memstream(&text, &len);
    assert_int_equal(explain_tell(tree.root, out), 0);
    fclose(out);
    assert_string_equal(text, story);
    free(text);
    conf_tree_free(&tree);
}

static void a_forwarded_request_is_told_decision_by_decision(void **state)
{
    (void)state;
    expect("{" REQUEST
           ", \"route\": {\"name\": \"api\", \"host\": \"exact\", \"path\": \"prefix\", \"conditions\": 2},"
           "\"considered\": [{\"route\": \"beta\", \"why\": \"header x-env is \\\"prod\\\", not "
           "\\\"beta\\\"\"}],"
           "\"split\": {\"name\": \"checkout\", \"variant\": \"b\", \"by\": \"unit\", \"unit\": \"u42\", "
           "\"place\": 8123},"
           "\"pool\": \"canary\", \"answer\": null, \"target\": \"/x?q=1\", \"method\": \"least_request\","
           "\"server\": {\"name\": \"10.0.0.2:80\", \"address\": \"10.0.0.2:80\", \"reason\": \"least\","
           "\"why\": \"it is the least loaded\"}, \"runner_up\": {\"name\": \"big\", \"address\": "
           "\"10.0.0.3:80\"},"
           "\"servers\": [{\"is_candidate\": true}, {\"is_candidate\": true}, {\"is_candidate\": false}]}",
           "listener  web           GET example.com/v1/x?q=1 from 127.0.0.1\n"
           "route     api           host exact, path prefix, 2 more conditions; passed over: beta (header "
           "x-env is "
           "\"prod\", not \"beta\")\n"
           "split     checkout = b  by its unit \"u42\": place 81.23 of 100\n"
           "target    /x?q=1        rewritten\n"
           "pool      canary        least_request, 2 of 3 servers can be chosen\n"
           "server    10.0.0.2:80   it is the least loaded; else big\n");
}

static void weirs_own_answer_ends_the_story(void **state)
{
    (void)state;
    expect(
        "{" REQUEST
        ", \"route\": {\"name\": \"old\", \"host\": \"any\", \"path\": \"exact\", \"conditions\": 1},"
        "\"considered\": [], \"split\": null, \"pool\": null, \"answer\": {\"status\": 301, \"end\": \"ok\","
        "\"why\": \"the route redirects to /new\"}, \"target\": null, \"method\": null, \"server\": null,"
        "\"runner_up\": null, \"servers\": []}",
        "listener  web  GET example.com/v1/x?q=1 from 127.0.0.1\n"
        "route     old  host any, path exact, 1 more condition\n"
        "answer    301  the route redirects to /new\n");
}

static void without_a_route_it_says_so_and_names_a_few_that_were_passed_over(void **state)
{
    (void)state;
    expect(
        "{" REQUEST ", \"route\": null, \"considered\": [{\"route\": \"a\", \"why\": \"w\"},"
        "{\"route\": \"b\", \"why\": \"w\"}, {\"route\": \"c\", \"why\": \"w\"}, {\"route\": \"d\", \"why\": "
        "\"w\"},"
        "{\"route\": \"e\", \"why\": \"w\"}, {\"route\": \"f\", \"why\": \"w\"}], \"answer\": {\"status\": "
        "404,"
        "\"end\": \"no_route\", \"why\": \"no route matches the request\"}}",
        "listener  web  GET example.com/v1/x?q=1 from 127.0.0.1\n"
        "route     -    none takes it; passed over: a (w), b (w), c (w), d (w) and 2 more (--json has them)\n"
        "answer    404  no route matches the request\n");
}

static void a_pool_without_a_usable_server_is_told_with_the_reason(void **state)
{
    (void)state;
    expect(
        "{" REQUEST
        ", \"route\": {\"name\": \"all\", \"host\": \"any\", \"path\": \"any\", \"conditions\": 0},"
        "\"pool\": \"web\", \"target\": \"/v1/x?q=1\", \"method\": \"random\", \"server\": {\"name\": null,"
        "\"address\": null, \"reason\": \"all_tried\", \"why\": \"no server of the pool can be used\"},"
        "\"servers\": [{\"is_candidate\": false}]}",
        "listener  web  GET example.com/v1/x?q=1 from 127.0.0.1\n"
        "route     all  host any, path any\n"
        "pool      web  random, 0 of 1 server can be chosen\n"
        "server    -    no server of the pool can be used\n");
}

static void a_split_says_what_chose(void **state)
{
    (void)state;
    expect("{" REQUEST
           ", \"split\": {\"name\": \"s\", \"variant\": \"a\", \"by\": \"client\", \"unit\": \"192.0.2.7\","
           "\"place\": 5}}",
           "listener  web    GET example.com/v1/x?q=1 from 127.0.0.1\n"
           "route     -      none takes it\n"
           "split     s = a  by its client 192.0.2.7, for want of a unit: place 0.05 of 100\n");
    expect("{" REQUEST
           ", \"split\": {\"name\": \"s\", \"variant\": \"a\", \"by\": \"override\", \"unit\": \"\","
           "\"place\": 0}}",
           "listener  web    GET example.com/v1/x?q=1 from 127.0.0.1\n"
           "route     -      none takes it\n"
           "split     s = a  the request asks for it, and may\n");
}

static void an_answer_that_is_not_weirs_breaks_nothing(void **state)
{
    (void)state;
    expect("{}", "listener  -  - -- from -\n"
                 "route     -  none takes it\n");
    expect("{\"considered\": 1, \"server\": [], \"split\": \"x\", \"servers\": {\"a\": 1}, \"pool\": {}, "
           "\"answer\": 3,"
           "\"target\": [], \"request\": 7}",
           "listener  -      - -- from -\n"
           "route     -      none takes it\n"
           "split     - = -  by its unit \"-\"\n"
           "answer    -      -\n"
           "pool      -      0 of 1 server can be chosen\n"
           "server    -      -\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_forwarded_request_is_told_decision_by_decision),
        cmocka_unit_test(weirs_own_answer_ends_the_story),
        cmocka_unit_test(without_a_route_it_says_so_and_names_a_few_that_were_passed_over),
        cmocka_unit_test(a_pool_without_a_usable_server_is_told_with_the_reason),
        cmocka_unit_test(a_split_says_what_chose),
        cmocka_unit_test(an_answer_that_is_not_weirs_breaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
