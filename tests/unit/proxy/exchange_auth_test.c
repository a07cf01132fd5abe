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

#include "proxy/auth_call.h"
#include "proxy/passwords.h"
#include "scene.h"

/* Of "secret", at the least cost that there is: "YTpzZWNyZXQ=" is a:secret, "YTp3cm9uZw==" a:wrong. */
#define USERS "a:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n"
#define GET "GET / HTTP/1.1\r\nHost: h\r\n"
#define RIGHT GET "Authorization: Basic YTpzZWNyZXQ=\r\n\r\n"
#define WRONG GET "Authorization: Basic YTp3cm9uZw==\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define WAIT_TURNS 100000

static const char *reason_of(struct scene *s)
{
    return end_reason_info((enum end_reason)last_record(s).end)->name;
}

/* A listener that asks for passwords, and those who check them. */
struct door {
    struct scene s; /* first */
    struct auth_basic_conf basic;
    struct auth_forward_conf forward;
    struct auth_conf auth;
    struct passwords *passwords;
    char path[32];
};

static void open_door(struct door *d)
{
    struct err err = { "" };
    memset(d, 0, sizeof(*d));
    strcpy(d->path, "/tmp/weir-users-XXXXXX");
    int fd = mkstemp(d->path);
    assert_int_equal(write(fd, USERS, strlen(USERS)), (ssize_t)strlen(USERS));
    close(fd);
    d->basic = (struct auth_basic_conf){ .users = d->path, .keep_ms = 60000 };
    d->basic.file = auth_file_new(&auth_file_users, d->path, &err);
    assert_non_null(d->basic.file);
    d->auth = (struct auth_conf){ .basic = &d->basic, .realm = "r", .header = "X-User" };
    scene_open(&d->s, false);
    one_server(&d->s);
    d->s.listener.auth = &d->auth;
}

static void start_door(struct door *d)
{
    struct err err;
    scene_start(&d->s);
    assert_int_equal(passwords_new(&d->passwords, &d->s.control, d->s.box, d->s.proxy->metrics, 1, &err), 0);
    d->s.proxy->passwords = d->passwords;
}

static void close_door(struct door *d)
{
    passwords_stop(d->passwords);
    while (!passwords_await_end(d->passwords, 1000)) {}
    loop_turn(&d->s.control, 0);
    scene_close(&d->s);
    passwords_free(d->passwords);
    auth_file_free(d->basic.file);
    unlink(d->path);
}

/* Until the server is asked: hashes are made on a thread of their own. */
static int asked(struct door *d)
{
    for (int i = 0; i < WAIT_TURNS; i++) {
        int fd = accept4(d->s.listening[0], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) return fd;
        loop_turn(&d->s.control, 1);
        turns(&d->s, 1);
    }
    fail_msg("the server is not asked");
    return -1;
}

static const char *answer(struct door *d, int client)
{
    static char text[4096];
    size_t len = 0;
    for (int i = 0; i < WAIT_TURNS; i++) {
        ssize_t got = recv(client, text + len, sizeof(text) - 1 - len, 0);
        if (got > 0) len += (size_t)got;
        text[len] = 0;
        if (strstr(text, "Request id:") || strstr(text, "\r\n\r\nok")) return text;
        loop_turn(&d->s.control, 1);
        turns(&d->s, 1);
    }
    fail_msg("no answer came: %s", text);
    return NULL;
}

/* By a reset: who sends no more may still want its answer. */
static void go_away(int client)
{
    struct linger at_once = { .l_onoff = 1 };
    assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    close(client);
}

static void expect(const char *text, const char *part)
{
    if (!strstr(text, part)) fail_msg("%s is not in: %s", part, text);
}

static void a_password_is_checked_elsewhere_and_remembered(void **state)
{
    (void)state;
    struct door d;
    open_door(&d);
    start_door(&d);
    int client = client_connect(&d.s);
    say(client, RIGHT);
    int server = asked(&d);
    expect(hear(&d.s, server, "\r\n\r\n"), "X-User: a\r\n");
    say(server, OK);
    answer(&d, client);
    say(client, RIGHT);
    hear(&d.s, server, "\r\n\r\n"); /* no turn of the control thread was needed */
    say(server, OK);
    answer(&d, client);
    say(client, WRONG);
    expect(answer(&d, client), "401 Unauthorized");
    assert_string_equal(reason_of(&d.s), "auth_failed");
    close(client);
    close(server);
    close_door(&d);
}

static void who_goes_away_while_it_waits_leaves_nothing(void **state)
{
    (void)state;
    struct door d;
    open_door(&d);
    start_door(&d);
    int client = client_connect(&d.s);
    say(client, RIGHT);
    turns(&d.s, 20);
    assert_int_equal(d.s.worker->live.exchanges, 1);
    assert_int_equal(d.s.worker->question_count, 1);
    pass_time(&d.s, 200); /* from now on its end is seen */
    go_away(client);
    turns(&d.s, 20);
    assert_int_equal(d.s.worker->live.exchanges, 0);
    assert_string_equal(reason_of(&d.s), "client_abort");
    for (int i = 0; i < WAIT_TURNS && d.s.worker->question_count; i++) { /* and the question comes back */
        loop_turn(&d.s.control, 1);
        turns(&d.s, 1);
    }
    assert_int_equal(d.s.worker->question_count, 0);
    close_door(&d);
}

static void a_worker_that_ends_frees_what_it_has_under_way(void **state)
{
    (void)state;
    struct door d;
    open_door(&d);
    start_door(&d);
    int client = client_connect(&d.s);
    say(client, RIGHT);
    turns(&d.s, 20);
    assert_int_equal(d.s.worker->question_count, 1);
    close_door(&d);
    close(client);
}

static void a_password_waits_no_longer_than_it_may(void **state)
{
    (void)state;
    struct door d;
    open_door(&d);
    start_door(&d);
    int client = client_connect(&d.s);
    say(client, RIGHT);
    turns(&d.s, 20);
    pass_time(&d.s, 9900);
    assert_int_equal(d.s.worker->live.exchanges, 1);
    pass_time(&d.s, 200);
    expect(hear(&d.s, client, "\n"), "503 Service Unavailable");
    assert_string_equal(reason_of(&d.s), "auth_timeout");
    close(client);
    close_door(&d);
}

static void a_client_may_have_so_many_waiting(void **state)
{
    (void)state;
    struct door d;
    int clients[PASSWORDS_A_CLIENT_MAX + 2];
    open_door(&d);
    start_door(&d);
    for (size_t i = 0; i < PASSWORDS_A_CLIENT_MAX + 2; i++) {
        clients[i] = client_connect(&d.s);
        say(clients[i], WRONG);
    }
    turns(&d.s, 30); /* all are with the control thread, which has not looked yet */
    assert_int_equal(d.s.worker->question_count, PASSWORDS_A_CLIENT_MAX + 2);
    unsigned failed = 0, refused = 0;
    for (size_t i = 0; i < PASSWORDS_A_CLIENT_MAX + 2; i++) {
        const char *text = answer(&d, clients[i]);
        failed += strstr(text, "auth_failed") != NULL;
        refused += strstr(text, "auth_client_limit") != NULL;
        close(clients[i]);
    }
    assert_int_equal(failed, PASSWORDS_A_CLIENT_MAX);
    assert_int_equal(refused, 2);
    close_door(&d);
}

static void where_nobody_checks_passwords_none_is_right(void **state)
{
    (void)state;
    struct door d;
    open_door(&d);
    start_door(&d);
    d.s.proxy->passwords = NULL;
    int client = client_connect(&d.s);
    say(client, RIGHT);
    expect(answer(&d, client), "auth_busy");
    assert_int_equal(d.s.worker->question_count, 0);
    close(client);
    close_door(&d);
}

/* a service that decides: the same server, as it has but one pool */

static const char *const copied[] = { "X-User", "X-Role" };

static void open_service(struct door *d)
{
    open_door(d);
    d->forward = (struct auth_forward_conf){ .pool = "web",
                                             .path = "/verify?x=1",
                                             .user = "X-User",
                                             .timeout_ms = 3000,
                                             .copy = { (void *)(uintptr_t)copied, 2 } };
    d->auth = (struct auth_conf){ .forward = &d->forward, .realm = "r", .header = "" };
    start_door(d);
}

static void a_service_lets_pass_and_says_who_it_is(void **state)
{
    (void)state;
    struct door d;
    open_service(&d);
    int client = client_connect(&d.s);
    say(client, "POST /path?q=1 HTTP/1.1\r\nHost: h\r\nCookie: id=7\r\nX-User: root\r\nX-Role: root\r\n"
                "Content-Length: 4\r\n\r\nbody");
    int server = asked(&d);
    const char *question = hear(&d.s, server, "\r\n\r\n");
    expect(question, "GET /verify?x=1 HTTP/1.1\r\n");
    expect(question, "Cookie: id=7\r\n");
    expect(question, "X-Forwarded-Method: POST\r\n");
    expect(question, "X-Forwarded-Uri: /path?q=1\r\n");
    expect(question, "X-Forwarded-For: 127.0.0.1\r\n");
    assert_null(strstr(question, "root"));
    assert_null(strstr(question, "Content-Length"));
    say(server, "HTTP/1.1 200 OK\r\nX-User: bob\r\nX-Other: no\r\nX-Role: a\r\nX-Role: b\r\nContent-Length: "
                "2\r\n\r\nok");
    int second = asked(&d);
    const char *request = hear(&d.s, second, "body");
    expect(request, "POST /path?q=1 HTTP/1.1\r\n");
    expect(request, "X-User: bob\r\n");
    expect(request, "X-Role: a\r\nX-Role: b\r\n");
    assert_null(strstr(request, "root"));
    assert_null(strstr(request, "X-Other"));
    say(second, OK);
    expect(answer(&d, client), "200 OK");
    close(client);
    close(second);
    close(server);
    close_door(&d);
}

/* What is beyond its bound is not waited for. */
static void a_service_may_say_as_much_as_it_likes(void **state)
{
    (void)state;
    struct door d;
    static char rest[AUTH_CALL_BODY_MAX + 1];
    open_service(&d);
    int client = client_connect(&d.s);
    say(client, GET "\r\n");
    int server = asked(&d);
    hear(&d.s, server, "\r\n\r\n");
    say(server, "HTTP/1.1 200 OK\r\nX-User: bob\r\nContent-Length: 1000000\r\n\r\n");
    memset(rest, 'x', sizeof(rest));
    for (size_t sent = 0; sent < sizeof(rest);) {
        ssize_t n = send(server, rest + sent, sizeof(rest) - sent, MSG_NOSIGNAL);
        if (n > 0) sent += (size_t)n;
        turns(&d.s, 1);
    }
    int second = asked(&d);
    expect(hear(&d.s, second, "\r\n\r\n"), "X-User: bob\r\n");
    say(second, OK);
    expect(answer(&d, client), "200 OK");
    close(client);
    close(second);
    close(server);
    close_door(&d);
}

static void what_a_service_refuses_the_client_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *says, *status, *field, *reason;
    } cases[] = {
        { "HTTP/1.1 401 No\r\nWWW-Authenticate: Own x=y\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 401 ",
          "WWW-Authenticate: Own x=y\r\n", "auth_required" },
        { "HTTP/1.1 302 Found\r\nLocation: /login\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
          "HTTP/1.1 302 Found", "Location: /login\r\n", "auth_required" },
        { "HTTP/1.1 403 No\r\nX-Inner: 10.0.0.1\r\nContent-Length: 5\r\n\r\ninner", "HTTP/1.1 403 ",
          "Content-Type: ", "auth_denied" },
        { "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 503 ",
          "Content-Type: ", "auth_unavailable" },
        { "HTTP/1.1 404 Oh\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 503 ",
          "Content-Type: ", "auth_unavailable" },
        { "nonsense\r\n\r\n", "HTTP/1.1 503 ", "Content-Type: ", "auth_unavailable" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct door d;
        open_service(&d);
        int client = client_connect(&d.s);
        say(client, GET "\r\n");
        int server = asked(&d);
        hear(&d.s, server, "\r\n\r\n");
        say(server, cases[i].says);
        const char *text = answer(&d, client);
        expect(text, cases[i].status);
        expect(text, cases[i].field);
        assert_null(strstr(text, "inner"));
        assert_null(strstr(text, "10.0.0.1"));
        assert_string_equal(reason_of(&d.s), cases[i].reason);
        close(client);
        close(server);
        close_door(&d);
    }
}

static void a_service_that_does_not_answer_lets_nobody_pass(void **state)
{
    (void)state;
    struct door d;
    open_service(&d);
    int client = client_connect(&d.s);
    say(client, GET "\r\n");
    int server = asked(&d);
    hear(&d.s, server, "\r\n\r\n");
    pass_time(&d.s, 3100);
    expect(answer(&d, client), "HTTP/1.1 503 ");
    assert_string_equal(reason_of(&d.s), "auth_timeout");
    close(client);
    close(server);
    close_door(&d);
}

static void a_service_that_cannot_be_reached_lets_nobody_pass(void **state)
{
    (void)state;
    struct door d;
    open_service(&d);
    close(d.s.listening[0]);
    d.s.listening[0] = -1;
    int client = client_connect(&d.s);
    say(client, GET "\r\n");
    expect(answer(&d, client), "HTTP/1.1 503 ");
    assert_string_equal(reason_of(&d.s), "auth_unavailable");
    close(client);
    close_door(&d);
}

static void who_goes_away_while_a_service_thinks_leaves_nothing(void **state)
{
    (void)state;
    struct door d;
    open_service(&d);
    int client = client_connect(&d.s);
    say(client, GET "\r\n");
    int server = asked(&d);
    hear(&d.s, server, "\r\n\r\n");
    pass_time(&d.s, 200);
    go_away(client);
    turns(&d.s, 20);
    assert_int_equal(d.s.worker->live.exchanges, 0);
    assert_string_equal(reason_of(&d.s), "client_abort");
    close(server);
    close_door(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_password_is_checked_elsewhere_and_remembered),
        cmocka_unit_test(who_goes_away_while_it_waits_leaves_nothing),
        cmocka_unit_test(a_worker_that_ends_frees_what_it_has_under_way),
        cmocka_unit_test(a_password_waits_no_longer_than_it_may),
        cmocka_unit_test(a_client_may_have_so_many_waiting),
        cmocka_unit_test(where_nobody_checks_passwords_none_is_right),
        cmocka_unit_test(a_service_lets_pass_and_says_who_it_is),
        cmocka_unit_test(a_service_may_say_as_much_as_it_likes),
        cmocka_unit_test(what_a_service_refuses_the_client_is_told),
        cmocka_unit_test(a_service_that_does_not_answer_lets_nobody_pass),
        cmocka_unit_test(a_service_that_cannot_be_reached_lets_nobody_pass),
        cmocka_unit_test(who_goes_away_while_a_service_thinks_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
