#include "conf/sample_conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Faults of one read or decoding, printed. */
static struct conf_faults faults;

static void expect_faults(const struct conf_tree *tree, bool is_brief, const char *expected)
{
    char *text = conf_faults_print(&faults, tree, is_brief);
    faults = (struct conf_faults){ 0 };
    assert_string_equal(text, expected);
    free(text);
}

static struct conf_tree tree;
static struct conf_arena *arena;

static void read_yaml(const char *source)
{
    if (conf_read_yaml(&tree, "weir.yaml", slice_of(source), &faults) < 0)
        fail_msg("%s", faults.items[0].message);
}

static int set_up(void **state)
{
    (void)state;
    faults = (struct conf_faults){ 0 };
    tree = (struct conf_tree){ 0 };
    arena = conf_arena_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    conf_tree_free(&tree);
    conf_arena_free(arena);
    return 0;
}

static int decode(const char *source, struct sample_conf *conf)
{
    conf_tree_free(&tree);
    read_yaml(source);
    return conf_decode(&tree, &sample_type, conf, arena, &faults);
}

static void decode_well(const char *source, struct sample_conf *conf)
{
    if (decode(source, conf) == 0) return;
    char *text = conf_faults_print(&faults, &tree, true);
    fail_msg("%s", text);
}

static void refuse(const char *source, const char *expected)
{
    struct sample_conf conf;
    assert_int_equal(decode(source, &conf), -1);
    expect_faults(&tree, true, expected);
}

static const char good[] =
    "listeners:\n"
    "  - {bind: \":18999\", pool: web, trust: [10.0.0.0/8, \"::1\"], upgrade: [], quiet: true}\n"
    "  - {name: db, bind: \"127.0.0.1:15432\", protocol: tcp, pool: api}\n"
    "pools:\n"
    "  web:\n"
    "    servers: [\"10.0.0.1:80\", {name: big, address: \"10.0.0.2:80\", weight: 3}]\n"
    "    secret: x\n"
    "    retry: 7\n"
    "  api:\n"
    "    balance: {method: hash, key: path}\n"
    "    servers: {a: \"10.0.0.3:80\", b: {address: \"unix:/x\"}}\n"
    "    timeouts: {connect: 250ms, total: 1h}\n"
    "levels: [low, high]\n";

static void every_kind_of_row_is_decoded(void **state)
{
    (void)state;
    struct sample_conf conf;
    char text[ADDRESS_TEXT_MAX];
    decode_well(good, &conf);
    assert_int_equal(conf.listeners.count, 2);
    const struct sample_listener *l = conf.listeners.data;
    assert_string_equal(l[0].name, ":18999");
    assert_string_equal(l[0].pool, "web");
    assert_int_equal(l[0].trust.count, 2);
    assert_int_equal(((const struct cidr *)l[0].trust.data)->bits, 104);
    assert_int_equal(l[0].upgrade.count, 0);
    assert_true(l[0].is_quiet);
    assert_string_equal(l[1].name, "db");
    assert_int_equal(l[1].protocol, 1);
    assert_string_equal(*(const char *const *)l[1].upgrade.data, "websocket");
    const struct sample_pool *p = conf.pools.data;
    assert_string_equal(p[0].name, "web");
    assert_ptr_equal(p[0].balance.option, &sample_turn);
    assert_int_equal(p[0].retry->attempts, 7);
    assert_int_equal(p[0].retry->buffer_bytes, 16384);
    assert_int_equal(p[0].timeouts.connect_ms, 5000);
    assert_int_equal(p[0].timeouts.total_ms, 0);
    const struct sample_server *s = p[0].servers.data;
    assert_string_equal(s[0].name, "10.0.0.1:80");
    assert_string_equal(s[1].name, "big");
    assert_int_equal(s[1].weight, 3);
    assert_ptr_equal(p[1].balance.option, &sample_hashed);
    assert_string_equal(((const struct sample_hash *)p[1].balance.conf)->key, "path");
    assert_null(p[1].retry);
    assert_int_equal(p[1].timeouts.total_ms, 3600000);
    s = p[1].servers.data;
    assert_string_equal(s[1].name, "b");
    assert_string_equal(address_print(&s[1].address, text), "unix:/x");
    assert_int_equal(((const uint32_t *)conf.levels.data)[1], 2);
    assert_int_equal(conf.retry->attempts, 5);
    assert_int_equal(conf.admin.len, 0);
}

static void all_faults_are_told_at_once(void **state)
{
    (void)state;
    refuse(
        "listeners:\n"
        "  - {bind: \":x\", pool: wbe, portocol: tcp}\n"
        "  - {bind: \":1\", protocol: htp, trust: 10.0.0.0/8, quiet: yes}\n"
        "  - {bind: \":1\", protocol: tcp, quiet: true, pool: nowhere}\n"
        "  - {bind: \":1\", pool: api, trust: [10.0.0.1/8, 5, ~]}\n"
        "  - {}\n"
        "pools:\n"
        "  web:\n"
        "    servers: [{wieght: 3}, \"10.0.0.1\", {address: \"10.0.0.1:80\", weight: 0}, [], {name: "
        "\"10.0.0.9:1\", address: \"10.0.0.9:2\"}, \"10.0.0.9:1\"]\n"
        "    balance: {method: hsah}\n"
        "    timeouts: {connect: 5, total: 1ms, idle: 3s}\n"
        "    retry:\n"
        "  api:\n"
        "    balance: hash\n"
        "    servers: []\n"
        "    secret: true\n"
        "  a_name_that_is_much_too_long: {servers: \"10.0.0.1:80\", name: x}\n"
        "  third: 7\n"
        "levels: [low, hihg, low, low]\n"
        "workers: \"3\"\n"
        "admin: [x]\n",
        "weir.yaml:2:12: \"bind\": \"x\" is not a port; ports go from 0 to 65535\n"
        "weir.yaml:2:24: there is no \"wbe\" under \"pools\"; did you mean \"web\"?\n"
        "weir.yaml:2:29: unknown key \"portocol\" in listener; did you mean \"protocol\"?\n"
        "weir.yaml:3:28: \"htp\" is not a value of \"protocol\"; did you mean \"http\"?\n"
        "weir.yaml:3:40: \"trust\" must be a list, not the text \"10.0.0.0/8\"; write [\"10.0.0.0/8\"] "
        "for a list of one\n"
        "weir.yaml:3:59: \"quiet\" must be true or false, not the text \"yes\"; write true\n"
        "weir.yaml:4:5: another listener is named \":1\" too, at line 3; give one of them a \"name\"\n"
        "weir.yaml:4:33: listener \":1\" is tcp, which is always quiet; remove it\n"
        "weir.yaml:4:52: there is no \"nowhere\" under \"pools\"; known here: "
        "a_name_that_is_much_too_long, api, third, web\n"
        "weir.yaml:5:5: another listener is named \":1\" too, at line 4; give one of them a \"name\"\n"
        "weir.yaml:5:37: \"trust\": 10.0.0.1/8 names a host within its network; write 10.0.0.0/8 for the "
        "network\n"
        "weir.yaml:5:49: \"trust\": \"5\" is not an address block; write one like 10.0.0.0/8 or "
        "2001:db8::/32\n"
        "weir.yaml:5:52: an element of \"trust\" has no value; remove it\n"
        "weir.yaml:6:5: listener lacks \"bind\"; add \"bind\"\n"
        "weir.yaml:9:15: server lacks \"address\"; add \"address\"\n"
        "weir.yaml:9:16: unknown key \"wieght\" in server; did you mean \"weight\"?\n"
        "weir.yaml:9:28: \"address\": \"10.0.0.1\" has no port; write host:port, like 10.0.0.1:80\n"
        "weir.yaml:9:73: \"weight\" is 0, but must be from 1 to 100\n"
        "weir.yaml:9:77: this server must be text or a map, not a list; known here: name, address, weight\n"
        "weir.yaml:9:126: another server is named \"10.0.0.9:1\" too, at line 9; give one of them a "
        "\"name\"\n"
        "weir.yaml:10:23: \"hsah\" is not a value of \"balance\"; did you mean \"hash\"?\n"
        "weir.yaml:11:25: \"connect\": \"5\" lacks a unit; write 5s for seconds or 5ms for milliseconds\n"
        "weir.yaml:11:35: \"total\" is 1ms, but must be from 1s to 1h, or off\n"
        "weir.yaml:11:40: unknown key \"idle\" in pool timeouts; known here: connect, total\n"
        "weir.yaml:12:5: \"retry\" has no value; give it one, or remove the key\n"
        "weir.yaml:14:14: hash lacks \"key\"; add \"key\"\n"
        "weir.yaml:15:14: \"servers\" has 0 elements, but must have from 1 to 8\n"
        "weir.yaml:16:13: \"secret\" must be text, not true; put it in quotes if it is text\n"
        "weir.yaml:17:3: the name of a pool has 28 bytes, but must have from 1 to 20\n"
        "weir.yaml:17:43: \"servers\" must be a list, or a map with a name for each element, not the text "
        "\"10.0.0.1:80\"; write [\"10.0.0.1:80\"] for a list of one\n"
        "weir.yaml:17:58: the name of this pool is its key, \"a_name_that_is_much_too_long\"; remove it, "
        "or rename the key\n"
        "weir.yaml:18:10: \"third\" must be a map, not the text \"***\"; known here: name, balance, servers, "
        "timeouts, retry, secret\n"
        "weir.yaml:19:9: \"levels\" has 4 elements, but must have from 0 to 3\n"
        "weir.yaml:19:15: \"hihg\" is not a value of \"levels\"; did you mean \"high\"?\n"
        "weir.yaml:20:10: \"workers\" must be a whole number, not the text \"3\"; remove the quotes\n"
        "weir.yaml:21:8: \"admin\" must be text, not a list\n");
}

static void a_fault_shows_the_line_and_a_caret(void **state)
{
    (void)state;
    struct sample_conf conf;
    assert_int_equal(
        decode("pools:\n  web:\n    servers:\n    - \"10.0.0.1:80\"\n    - {address: \"10.0.0.2:80\","
               " wieght: 3}\n",
               &conf),
        -1);
    expect_faults(&tree, false,
                  "weir.yaml:5:32: unknown key \"wieght\" in server; did you mean \"weight\"?\n"
                  "      - {address: \"10.0.0.2:80\", wieght: 3}\n"
                  "                                 ^\n");
}

/* Each within {pools: {web: {servers: ["10.0.0.1:80"], HERE}}}, whose 42nd column is the first of HERE. */
static void values_of_the_wrong_kind_or_size_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *printed;
    } cases[] = {
        { "retry: {attempts: 17}", "60: \"attempts\" is 17, but must be from 1 to 16\n" },
        { "retry: {attempts: -1}", "60: \"attempts\" is -1, but must be from 1 to 16\n" },
        { "retry: {attempts: 99999999999999999999}",
          "60: \"attempts\" is 99999999999999999999, but must be from 1 to 16\n" },
        { "retry: {attempts: 1.5}", "60: \"attempts\" must be a whole number, not the number 1.5\n" },
        { "retry: {attempts: 010}", "60: \"attempts\" must be a whole number, not the number 010\n" },
        { "retry: {attempts: two}", "60: \"attempts\" must be a whole number, not the text \"two\"\n" },
        { "retry: {attempts: [2]}", "60: \"attempts\" must be a whole number, not a list\n" },
        { "retry: {buffer: 2MiB}", "58: \"buffer\" is 2MiB, but must be from 0 to 1MiB\n" },
        { "retry: {buffer: off}",
          "58: \"buffer\": \"off\" is not a size; write one like 512, 16KiB or 1MiB\n" },
        { "retry: {buffer: {a: 1}}", "58: \"buffer\" must be a size like 64KiB, not a map\n" },
        { "retry: []", "49: \"retry\" must be text or a map, not a list; known here: attempts, buffer\n" },
        { "timeouts: 5s",
          "52: \"timeouts\" must be a map, not the text \"5s\"; known here: connect, total\n" },
        { "timeouts: {connect: 11m}", "62: \"connect\" is 11m, but must be from 1ms to 10m\n" },
        { "timeouts: {connect: 0}", "62: \"connect\" is 0, but must be from 1ms to 10m\n" },
        /* 0 is not off */
        { "timeouts: {total: 0}", "60: \"total\" is 0, but must be from 1s to 1h, or off\n" },
        { "timeouts: {total: soon}",
          "60: \"total\": \"soon\" is not a duration; write one like 5s, 200ms or 1h30m, or off\n" },
        { "balance: leest",
          "51: \"leest\" is not a value of \"balance\"; known here: random, round_robin, hash\n" },
        { "balance: {metod: hash}", "42: \"balance\" lacks \"method\"; add \"method\"\n" },
        { "balance: {method: random, key: x}", "68: unknown key \"key\" in random\n" },
        { "balance: {method: hash, key: x, sizes: 3}",
          "74: unknown key \"sizes\" in hash; did you mean \"size\"?\n" },
        { "balance: {method: [hash]}", "60: \"method\" must be one word, not a list\n" },
        { "balance: [hash]", "51: \"balance\" must be one word, or a map with \"method\", not a list\n" },
        { "secret: \"a\\0b\"", "50: \"secret\" contains a zero byte; remove it\n" },
        { "secret: \"***\"",
          "50: \"secret\" is ***, which stands for a secret that is not shown; write the secret "
          "itself\n" },
        { "secret: {a: b}", "50: \"secret\" must be text, not a map\n" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char source[200], expected[300];
        snprintf(source, sizeof(source), "{pools: {web: {servers: [\"10.0.0.1:80\"], %s}}}", cases[i].text);
        snprintf(expected, sizeof(expected), "weir.yaml:1:%s", cases[i].printed);
        refuse(source, expected);
    }
}

static void names_are_checked(void **state)
{
    (void)state;
    refuse("pools: {\"a\\nb\": {servers: [\"10.0.0.1:80\"]}}",
           "weir.yaml:1:9: the name of a pool contains a control character\n");
    refuse("pools: {\"\": {servers: [\"10.0.0.1:80\"]}}",
           "weir.yaml:1:9: the name of a pool has 0 bytes, but must have from 1 to 20\n");
    refuse("pools: {a: {servers: [{name: [x], address: \"10.0.0.1:80\"}]}}",
           "weir.yaml:1:30: \"name\" must be text, not a list\n");
    refuse("pools: {a: {servers: [\"unix:/run/a/long/path/to.sock\"]}}",
           "weir.yaml:1:23: the name of a server has 29 bytes, but must have from 1 to 20; give it a "
           "\"name\"\n");
    refuse("pools: {a: ~}", "weir.yaml:1:9: this pool has no value; give it one, or remove it\n");
}

#define KNOWN "; known here: listeners, pools, levels, retry, admin, workers\n"

static void what_is_no_map_at_all_is_refused(void **state)
{
    (void)state;
    refuse("", "weir.yaml:1:1: this configuration must be a map, not nothing" KNOWN);
    refuse("[]", "weir.yaml:1:1: this configuration must be a map, not a list" KNOWN);
    refuse("{}", "weir.yaml:1:1: configuration lacks \"pools\"; add \"pools\"\n");
    refuse("listeners: [{bind: \":1\", pool: x}]\npools: {}",
           "weir.yaml:1:32: there is no \"x\" under \"pools\"; there are none yet: add \"pools\"\n");
}

static void numbers_may_stand_for_text_and_quotes_for_quantities(void **state)
{
    (void)state;
    struct sample_conf conf;
    decode_well("pools: {80: {servers: [\"10.0.0.1:80\"], secret: 1.50, timeouts: {connect: \"7s\"}}}",
                &conf);
    const struct sample_pool *p = conf.pools.data;
    assert_string_equal(p->name, "80");
    assert_string_equal(p->secret, "1.50");
    assert_int_equal(p->timeouts.connect_ms, 7000);
}

static void more_faults_than_there_is_room_for_are_counted(void **state)
{
    (void)state;
    char source[2000] = "{pools: {}";
    for (int i = 0; i < 100; i++) sprintf(source + strlen(source), ", key_no_%d: 1", i);
    strcat(source, "}");
    struct sample_conf conf;
    assert_int_equal(decode(source, &conf), -1);
    assert_int_equal(faults.count, 64);
    assert_int_equal(faults.dropped, 36);
    char *text = conf_faults_print(&faults, &tree, true);
    assert_non_null(strstr(text, "weir.yaml: and 36 more\n"));
    free(text);
}

static int patch(const char *source, const struct conf_type *type, void *object, uint64_t *set)
{
    conf_tree_free(&tree);
    if (conf_read_json(&tree, "body", slice_of(source), &faults) < 0) fail_msg("%s", faults.items[0].message);
    return conf_decode_patch(&tree, type, object, arena, set, &faults);
}

static void a_patch_writes_what_is_named_and_nothing_else(void **state)
{
    (void)state;
    struct sample_retry *before = conf_arena_alloc(arena, sizeof(*before));
    *before = (struct sample_retry){ .attempts = 2, .buffer_bytes = 7 };
    struct sample_pool pool = { .name = "web", .timeouts = { 1000, 2000 }, .retry = before };
    uint64_t set;
    assert_int_equal(patch("{\"timeouts\": {\"connect\": \"9s\"}, \"retry\": {\"attempts\": 4}}",
                           &sample_pool_type, &pool, &set),
                     0);
    assert_int_equal(set, 1 << 3 | 1 << 4);
    assert_int_equal(pool.timeouts.connect_ms, 9000);
    assert_int_equal(pool.timeouts.total_ms, 2000);
    assert_int_equal(pool.retry->attempts, 4);
    assert_int_equal(pool.retry->buffer_bytes, 7);
    assert_int_equal(before->attempts, 2); /* others may still read it */
    pool.retry = NULL;
    assert_int_equal(patch("{\"retry\": {\"attempts\": 4}}", &sample_pool_type, &pool, &set), 0);
    assert_int_equal(pool.retry->buffer_bytes, 16384);
    assert_int_equal(patch("{}", &sample_pool_type, &pool, &set), 0);
    assert_int_equal(set, 0);
}

static void a_patch_with_a_fault_changes_nothing(void **state)
{
    (void)state;
    struct sample_pool_status pool = { .name = "web", .weight = 3 };
    uint64_t set;
    assert_int_equal(patch("{\"weight\": 5, \"in_flight\": 1, \"name\": \"x\", \"wieght\": null}",
                           &sample_status_type, &pool, &set),
                     -1);
    assert_int_equal(pool.weight, 3);
    assert_int_equal(set, 0);
    expect_faults(
        &tree, true,
        "body:1:15: \"in_flight\" is only shown, it cannot be set; remove it\n"
        "body:1:31: \"name\" cannot be changed while running; change it in the configuration and reload\n"
        "body:1:44: unknown key \"wieght\" in pool; did you mean \"weight\"?\n");
    assert_int_equal(patch("{\"weight\": null}", &sample_status_type, &pool, &set), -1);
    expect_faults(&tree, true, "body:1:2: \"weight\" has no value; give it one, or remove the key\n");
    assert_int_equal(patch("\"x\"", &sample_status_type, &pool, &set), -1);
    expect_faults(&tree, true,
                  "body:1:1: this pool must be a map, not the text \"x\"; known here: name, weight\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_kind_of_row_is_decoded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_faults_are_told_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_fault_shows_the_line_and_a_caret, set_up, tear_down),
        cmocka_unit_test_setup_teardown(values_of_the_wrong_kind_or_size_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_are_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_map_at_all_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_may_stand_for_text_and_quotes_for_quantities, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(more_faults_than_there_is_room_for_are_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_patch_writes_what_is_named_and_nothing_else, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_patch_with_a_fault_changes_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
