/* What happens when memory is used up, at whatever moment that is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "scene.h"

#include "route/page_conf.h"

#define CLIENTS 4
#define TURNS 12
#define BLOCKS 4

/* Somebody else takes all that there is but this many blocks; what is given back is gone as well, turn by turn. */
static void leave_blocks(struct scene *s, uint64_t count)
{
    struct budget *b = &s->proxy->budget;
    block_pool_trim(&s->worker->loop.blocks);
    b->limit = atomic_load(&b->used) + count * BLOCK_MIN;
}

/* Whatever comes is thrown away, of all that is open. */
static void drink(const int *fds, int count)
{
    char bytes[4096];
    for (int i = 0; i < count; i++)
        while (recv(fds[i], bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {}
}

static void answer_all(const int *servers)
{
    for (int i = 0; i < CLIENTS; i++)
        (void)send(servers[i], "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 40, MSG_NOSIGNAL);
}

/* Memory is short from turn `from` on. */
static void pipeline(int from, uint64_t blocks)
{
    struct scene s;
    int clients[CLIENTS], servers[CLIENTS];
    scene_open(&s, false);
    one_server(&s);
    scene_start(&s);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = client_connect(&s);
        say(clients[i], "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
        servers[i] = server_accept(&s, 0);
        hear(&s, servers[i], "\r\n\r\n");
    }
    answer_all(servers);
    turns(&s, 3);
    /* Watched since they were idle: that more has come is known while the slow one is going on. */
    for (int i = 0; i < CLIENTS; i++) say(clients[i], "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
    turns(&s, 3);
    for (int i = 0; i < CLIENTS; i++)
        say(clients[i], "GET /b HTTP/1.1\r\nHost: h\r\n\r\nGET /c HTTP/1.1\r\nHost: h\r\n\r\nGET /d HT");
    turns(&s, 3);
    for (int turn = 0; turn < TURNS; turn++) {
        if (turn >= from) leave_blocks(&s, blocks);
        if (turn % 3 == 0) answer_all(servers);
        turns(&s, 1);
    }
    drink(clients, CLIENTS);
    for (int i = 0; i < CLIENTS; i++) {
        close(clients[i]);
        close(servers[i]);
    }
    turns(&s, 8);
    scene_close(&s);
}

/* Clients that pipeline two requests and a part of a third behind one that waits for its answer: they are read from
 * within the turn's tasks, and there may be no memory to hold the rest. */
static void pipelined_requests_survive_any_shortage(void **state)
{
    (void)state;
    for (int from = 0; from < TURNS; from++)
        for (uint64_t blocks = 0; blocks < BLOCKS; blocks++) pipeline(from, blocks);
}

/* A page that fills a large block, of a fault that comes while small ones are all that is left. */
static void where_there_is_no_memory_for_a_page_weir_says_it_itself(void **state)
{
    (void)state;
    struct scene s;
    struct err err = { "" };
    struct conf_arena *arena = conf_arena_new();
    static const char text[] = "<p>{path}{path}{path}{path}{path}{path}{path}{path}{path}{path}";
    struct page_conf errors = { .name = "502", .page = page_new(slice_of(text), PAGE_HTML, arena, &err) };
    assert_non_null(errors.page);
    assert_true(errors.page->room > 8 * BLOCK_MIN);
    scene_open(&s, false);
    one_server(&s);
    s.pool.retry.how.attempts = 1;
    s.listener.errors = (struct conf_items){ &errors, 1 };
    scene_start(&s);
    for (int turn = 0; turn < 2; turn++) {
        bool is_short = turn > 0;
        int client = client_connect(&s);
        say(client, "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        int server = server_accept(&s, 0);
        hear(&s, server, "\r\n\r\n");
        if (is_short) leave_blocks(&s, 6);
        close(server);
        const char *answer = hear_all(&s, client);
        assert_non_null(strstr(answer, "HTTP/1.1 502 "));
        assert_non_null(strstr(answer, is_short ? "text/plain" : "text/html"));
        assert_non_null(strstr(answer, is_short ? "\r\n\r\n502 Bad Gateway\n" : "\r\n\r\n<p>/a/a"));
        close(client);
        turns(&s, 3);
    }
    scene_close(&s);
    conf_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipelined_requests_survive_any_shortage),
        cmocka_unit_test(where_there_is_no_memory_for_a_page_weir_says_it_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
