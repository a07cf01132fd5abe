#include "base/json.h"
#include "conf/sample_conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Of the reading and decoding. */
static struct conf_faults faults;

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

static char *encode(const struct conf_type *type, const void *object, bool is_indented)
{
    struct json j;
    json_init(&j, 1 << 20, is_indented);
    conf_encode(type, object, &j);
    char *text = json_take(&j, NULL);
    assert_non_null(text);
    return text;
}

static void an_object_is_written_by_its_rows_and_reads_back(void **state)
{
    (void)state;
    struct sample_conf conf;
    read_yaml("listeners:\n"
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
              "levels: [low, high]\n");
    assert_int_equal(conf_decode(&tree, &sample_type, &conf, arena, &faults), 0);
    char *text = encode(&sample_type, &conf, true);
    assert_string_equal(text, "{\n"
                              "  \"listeners\": [\n"
                              "    {\n"
                              "      \"name\": \":18999\",\n"
                              "      \"bind\": \"[::]:18999\",\n"
                              "      \"protocol\": \"http\",\n"
                              "      \"pool\": \"web\",\n"
                              "      \"trust\": [\n"
                              "        \"10.0.0.0/8\",\n"
                              "        \"::1/128\"\n"
                              "      ],\n"
                              "      \"upgrade\": [],\n"
                              "      \"quiet\": true\n"
                              "    },\n"
                              "    {\n"
                              "      \"name\": \"db\",\n"
                              "      \"bind\": \"127.0.0.1:15432\",\n"
                              "      \"protocol\": \"tcp\",\n"
                              "      \"pool\": \"api\",\n"
                              "      \"trust\": [],\n"
                              "      \"upgrade\": [\n"
                              "        \"websocket\"\n"
                              "      ],\n"
                              "      \"quiet\": false\n"
                              "    }\n"
                              "  ],\n"
                              "  \"pools\": {\n"
                              "    \"web\": {\n"
                              "      \"balance\": \"round_robin\",\n"
                              "      \"servers\": [\n"
                              "        {\n"
                              "          \"name\": \"10.0.0.1:80\",\n"
                              "          \"address\": \"10.0.0.1:80\",\n"
                              "          \"weight\": 1\n"
                              "        },\n"
                              "        {\n"
                              "          \"name\": \"big\",\n"
                              "          \"address\": \"10.0.0.2:80\",\n"
                              "          \"weight\": 3\n"
                              "        }\n"
                              "      ],\n"
                              "      \"timeouts\": {\n"
                              "        \"connect\": \"5s\",\n"
                              "        \"total\": \"off\"\n"
                              "      },\n"
                              "      \"retry\": {\n"
                              "        \"attempts\": 7,\n"
                              "        \"buffer\": \"16KiB\"\n"
                              "      },\n"
                              "      \"secret\": \"***\"\n"
                              "    },\n"
                              "    \"api\": {\n"
                              "      \"balance\": {\n"
                              "        \"method\": \"hash\",\n"
                              "        \"key\": \"path\",\n"
                              "        \"size\": 4099\n"
                              "      },\n"
                              "      \"servers\": [\n"
                              "        {\n"
                              "          \"name\": \"a\",\n"
                              "          \"address\": \"10.0.0.3:80\",\n"
                              "          \"weight\": 1\n"
                              "        },\n"
                              "        {\n"
                              "          \"name\": \"b\",\n"
                              "          \"address\": \"unix:/x\",\n"
                              "          \"weight\": 1\n"
                              "        }\n"
                              "      ],\n"
                              "      \"timeouts\": {\n"
                              "        \"connect\": \"250ms\",\n"
                              "        \"total\": \"1h\"\n"
                              "      }\n"
                              "    }\n"
                              "  },\n"
                              "  \"levels\": [\n"
                              "    \"low\",\n"
                              "    \"high\"\n"
                              "  ],\n"
                              "  \"retry\": {\n"
                              "    \"attempts\": 5,\n"
                              "    \"buffer\": \"16KiB\"\n"
                              "  },\n"
                              "  \"workers\": 0\n"
                              "}");
    conf_tree_free(&tree);
    assert_int_equal(conf_read_json(&tree, "body", slice_of(text), &faults), 0);
    assert_int_equal(conf_decode(&tree, &sample_type, &conf, arena, &faults), -1);
    assert_int_equal(faults.count, 1); /* what stands for a secret is none */
    conf_tree_free(&tree);
    memcpy(strstr(text, "\"***\""), "\"abc\"", 5);
    assert_int_equal(conf_read_json(&tree, "body", slice_of(text), &faults), 0);
    assert_int_equal(conf_decode(&tree, &sample_type, &conf, arena, &faults), 0);
    memcpy(strstr(text, "\"abc\""), "\"***\"", 5);
    char *again = encode(&sample_type, &conf, true);
    assert_string_equal(again, text);
    free(again);
    free(text);
}

/* What the path leads to, its steps parted by spaces; NULL: nothing. */
static char *part_of(const struct sample_conf *conf, const char *path)
{
    struct slice steps[8];
    uint32_t count = 0;
    for (const char *at = path; *at && count < 8; at += *at == ' ') {
        size_t len = strcspn(at, " ");
        steps[count++] = (struct slice){ at, len };
        at += len;
    }
    struct json j;
    json_init(&j, 1 << 20, false);
    bool is_there = conf_encode_part(&sample_type, conf, steps, count, &j);
    char *text = is_there ? json_take(&j, NULL) : NULL;
    json_fini(&j);
    return text;
}

static void a_part_is_written_alone(void **state)
{
    (void)state;
    struct sample_conf conf;
    static const char *const cases[][2] = {
        { "pools web servers", "[{\"name\":\"big\",\"address\":\"10.0.0.2:80\",\"weight\":3}]" },
        { "pools web servers big", "{\"name\":\"big\",\"address\":\"10.0.0.2:80\",\"weight\":3}" },
        { "pools web secret", "\"***\"" },
        { "pools web timeouts connect", "\"5s\"" },
        { "listeners :18999 trust", "[\"10.0.0.0/8\"]" },
        { "listeners :18999 trust 10.0.0.0/8", "\"10.0.0.0/8\"" },
        { "pools api", NULL },
        { "pools web servers small", NULL },
        { "pools web retry", NULL },
        { "pools web secret x", NULL },
        { "pools web balance method", NULL },
        { "listeners :18999 trust 10.0.0.0/8 x", NULL },
        { "nothing", NULL },
        { "", NULL },
    };
    read_yaml("listeners: [{bind: \":18999\", pool: web, trust: [10.0.0.0/8]}]\n"
              "pools: {web: {servers: [{name: big, address: \"10.0.0.2:80\", weight: 3}], secret: x}}\n");
    assert_int_equal(conf_decode(&tree, &sample_type, &conf, arena, &faults), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *text = part_of(&conf, cases[i][0]);
        if (cases[i][1])
            assert_string_equal(text ? text : "nothing", cases[i][1]);
        else if (text)
            fail_msg("%s: %s", cases[i][0], text);
        free(text);
    }
    char *pool = part_of(&conf, "pools web"), *all = part_of(&conf, "pools");
    assert_ptr_equal(strstr(pool, "{\"name\":\"web\",\"balance\":\"round_robin\","), pool);
    assert_ptr_equal(strstr(all, "{\"web\":{\"balance\":\"round_robin\","), all);
    free(pool);
    free(all);
}

static void what_was_never_set_is_left_out(void **state)
{
    (void)state;
    struct sample_server server = { .name = "a" };
    char *text = encode(&sample_server_type, &server, false);
    assert_string_equal(text, "{\"name\":\"a\",\"address\":\"-\"}");
    free(text);
    struct sample_pool_status status = { .name = "b", .in_flight = 7 };
    text = encode(&sample_status_type, &status, false);
    assert_string_equal(text, "{\"name\":\"b\",\"in_flight\":7,\"weight\":0}");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_object_is_written_by_its_rows_and_reads_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_part_is_written_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_never_set_is_left_out, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
