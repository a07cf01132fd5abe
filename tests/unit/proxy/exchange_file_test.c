#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "scene.h"

#include "files/files_conf.h"
#include "record/flight_ring.h"
#include "route/route_conf.h"

#define SIZE (12u << 20) /* more than the kernel takes for a client that reads nothing */

static char root[] = "/tmp/weir-exchange-files-XXXXXX";

static void path_of(char path[64])
{
    snprintf(path, 64, "%s/big", root);
}

static int set_up(void **state)
{
    (void)state;
    char path[64];
    if (!mkdtemp(root)) return -1;
    path_of(path);
    FILE *f = fopen(path, "w");
    if (!f) return -1;
    int failed = ftruncate(fileno(f), SIZE);
    return fclose(f) || failed;
}

static int tear_down(void **state)
{
    (void)state;
    char path[64];
    path_of(path);
    unlink(path);
    return rmdir(root);
}

/* What a route says of how long all of it may take goes for its files, too. */
static void the_total_time_of_a_route_is_that_of_its_files(void **state)
{
    (void)state;
    struct scene s;
    struct files_conf files = { .root = root };
    struct route_timeouts timeouts = { .total_ms = 5000 };
    scene_open(&s, false);
    s.routes[0] = (struct route_conf){ .name = "files", .files = &files, .timeouts = &timeouts };
    s.listener.pool = NULL;
    s.listener.routes = (struct conf_items){ s.routes, 1 };
    scene_start(&s);
    int client = client_connect(&s);
    say(client, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int i = 0; i < 1000; i++) turns(&s, 1); /* until all that it takes is full */
    pass_time(&s, 4999);
    assert_int_equal(flight_written(s.worker->flights), 0);
    pass_time(&s, 2);
    turns(&s, 2);
    assert_int_equal(last_record(&s).end, END_TOTAL_TIMEOUT);
    close(client);
    scene_close(&s);
}

/* Descriptors are there for connections and checks as well. */
static void no_more_files_are_open_than_may_be(void **state)
{
    (void)state;
    static const char request[] = "GET /big HTTP/1.1\r\nHost: h\r\n\r\n";
    struct scene s;
    struct files_conf files = { .root = root };
    scene_open(&s, false);
    s.routes[0] = (struct route_conf){ .name = "files", .files = &files };
    s.listener.pool = NULL;
    s.listener.routes = (struct conf_items){ s.routes, 1 };
    scene_start(&s);
    s.proxy->file_limit = 2;
    int slow[2];
    for (int i = 0; i < 2; i++) {
        slow[i] = client_connect(&s);
        say(slow[i], request);
        for (int turn = 0; turn < 100; turn++) turns(&s, 1);
    }
    int client = client_connect(&s);
    say(client, "GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    const char *answer = hear_all(&s, client);
    assert_non_null(strstr(answer, " 503 "));
    assert_non_null(strstr(answer, "Retry-After: 1\r\n"));
    assert_int_equal(s.worker->open_files, 2);
    close(slow[0]);
    for (int i = 0; i < 1000 && s.worker->open_files == 2; i++) turns(&s, 1);
    assert_int_equal(s.worker->open_files, 1);
    close(client);
    client = client_connect(&s);
    say(client, "HEAD /big HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_non_null(strstr(hear(&s, client, "\r\n\r\n"), " 200 "));
    close(client);
    close(slow[1]);
    turns(&s, 3);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_total_time_of_a_route_is_that_of_its_files),
        cmocka_unit_test(no_more_files_are_open_than_may_be),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
