/* Another configuration of logs while they are read: what stays goes on, what comes begins, what goes leaves nothing. */
#include "logs/watch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/mailbox.h"

#define FILES 3u
#define TURNS_MAX 20000u /* of a millisecond each: a bound, no time that is waited for */
#define LINE "192.0.2.1 - - [10/Oct/2026:13:55:36 +0000] \"GET /a HTTP/1.1\" 401 10 \"-\" \"-\"\n"
#define JSON_LINE "{\"status\": 200}\n"

struct scene {
    char folder[64], paths[FILES][96];
    struct budget budget;
    struct loop loop;
    struct mailbox *box;
    struct watch *watch;
    uint32_t hits;
    const char *latest_rule; /* what was hit last */
    struct err err;
};

static struct rule_conf rules[] = {
    { .name = "one",
      .when = "rate(status==401) by client >= 3/m",
      .act = { .for_ms = 3600000 },
      .is_dry = true },
    { .name = "two", .when = "rate(status==403) by client >= 3/m", .act = { .for_ms = 1000 } },
};

static void on_hit(void *control, const struct mail *m)
{
    struct scene *s = control;
    struct watch_hit *h = m->object;
    s->hits++;
    s->latest_rule = strcmp(rule_conf_name(h->rule), "one") == 0 ? "one" : "two";
    free(h);
}

static void on_verdict(void *control, const struct mail *m)
{
    (void)control;
    free(m->object);
}

static int open_scene(void **state)
{
    struct scene *s = calloc(1, sizeof(*s));
    if (!s) return -1;
    *state = s;
    strcpy(s->folder, "/tmp/weir-watch-change-XXXXXX");
    if (!mkdtemp(s->folder)) return -1;
    for (unsigned i = 0; i < FILES; i++)
        snprintf(s->paths[i], sizeof(s->paths[i]), "%s/%u.log", s->folder, i);
    s->budget.limit = 64 << 20;
    if (loop_init(&s->loop, &s->budget, &s->err) < 0) return -1;
    return mailbox_new(&s->box, &s->loop, s, 64, &s->err);
}

/* While the configurations are there, which are the test's. */
static void finish(struct scene *s)
{
    watch_stop(s->watch);
    loop_turn(&s->loop, 0);
    watch_free(s->watch);
    s->watch = NULL;
}

static int close_scene(void **state)
{
    struct scene *s = *state;
    mailbox_free(s->box);
    loop_turn(&s->loop, 0);
    loop_fini(&s->loop);
    for (unsigned i = 0; i < FILES; i++) unlink(s->paths[i]);
    rmdir(s->folder);
    free(s);
    return 0;
}

static void append(struct scene *s, unsigned file, const char *text)
{
    int fd = open(s->paths[file], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static struct source_conf source_of(struct scene *s, const char *name, unsigned file, const char *format)
{
    return (struct source_conf){ .name = name, .path = s->paths[file], .format = { .text = format } };
}

static struct logs_conf logs_of(struct source_conf *sources, uint32_t count, uint32_t rule_count)
{
    return (struct logs_conf){ .sources = { sources, count }, .rules = { rules, rule_count } };
}

static void start(struct scene *s, const struct logs_conf *conf)
{
    const struct watch_options o = {
        .conf = conf, .control = s->box, .on_hit = on_hit, .on_verdict = on_verdict
    };
    assert_int_equal(watch_new(&s->watch, &o, &s->err), 0);
    assert_int_equal(watch_start(s->watch, &s->err), 0);
}

static void change(struct scene *s, const struct logs_conf *before, const struct logs_conf *after)
{
    struct watch_change *c = NULL;
    if (watch_change_new(&c, s->watch, before, after, &s->err) < 0) fail_msg("%s", s->err.text);
    if (watch_change_reserve(c, &s->err) < 0) fail_msg("%s", s->err.text);
    assert_int_equal(watch_change_commit(c, NULL, &s->err), 0);
}

struct question {
    struct watch_question base; /* first */
    uint64_t records, malformed;
    bool is_answered;
};

static void ask(struct watch_question *base, struct source *s, uint64_t now_s)
{
    struct question *q = (struct question *)base;
    struct tally_malformed malformed;
    q->records = tally_period(source_tally(s), TALLY_ALL, now_s)->records;
    tally_malformed(source_tally(s), &malformed);
    q->malformed = malformed.count;
}

static void done(struct watch_question *base)
{
    ((struct question *)base)->is_answered = true;
}

static struct question look(struct scene *s, const char *name)
{
    struct question q = {
        .base = { .source = watch_source_by_name(s->watch, slice_of(name)), .ask = ask, .done = done }
    };
    assert_true(q.base.source < watch_source_count(s->watch));
    assert_true(watch_ask(s->watch, &q.base));
    for (unsigned i = 0; i < TURNS_MAX && !q.is_answered; i++) loop_turn(&s->loop, 1);
    assert_true(q.is_answered);
    return q;
}

static void await_records(struct scene *s, const char *name, uint64_t count)
{
    struct question q = look(s, name);
    for (unsigned i = 0; i < TURNS_MAX && q.records + q.malformed < count; i++) {
        loop_turn(&s->loop, 1);
        q = look(s, name);
    }
    assert_int_equal(q.records, count);
    assert_int_equal(q.malformed, 0);
}

static void rules_are_known_again_by_what_they_are_called(void **state)
{
    (void)state;
    struct rule_conf olds[] = { { .name = "a", .when = "1" },
                                { .when = "2" },
                                { .name = "c", .when = "3" },
                                { .name = "c", .when = "4" } };
    struct rule_conf news[] = { { .name = "c", .when = "9" },
                                { .when = "2" },
                                { .name = "new", .when = "1" },
                                { .name = "c", .when = "3" },
                                { .name = "c", .when = "5" } };
    const struct logs_conf was = { .rules = { olds, 4 } }, now = { .rules = { news, 5 } };
    const uint32_t expected[] = { 2, 1, LOG_RULES_MAX, 3, LOG_RULES_MAX };
    uint32_t from[LOG_RULES_MAX];
    rules_pair(&was, &now, from);
    for (unsigned i = 0; i < 5; i++) assert_int_equal(from[i], expected[i]);
}

static void what_stays_goes_on_and_what_comes_begins(void **state)
{
    struct scene *s = *state;
    struct source_conf first[] = { source_of(s, "edge", 0, "combined"), source_of(s, "old", 1, "combined") };
    struct source_conf second[] = { source_of(s, "new", 2, "json"), source_of(s, "edge", 0, "combined") };
    struct source_conf third[] = { source_of(s, "edge", 0, "json") };
    const struct logs_conf one = logs_of(first, 2, 0), two = logs_of(second, 2, 0),
                           three = logs_of(third, 1, 0);
    append(s, 0, LINE LINE "192.0.2.1 - - [10/Oct/2026:13:55:36"); /* half a line is read, and not counted */
    append(s, 1, LINE);
    append(s, 2, JSON_LINE JSON_LINE);
    start(s, &one);
    await_records(s, "edge", 2);
    await_records(s, "old", 1);
    change(s, &one, &two);
    await_records(s, "edge", 2);
    await_records(s, "new", 2);
    assert_int_equal(watch_source_by_name(s->watch, SLICE("old")), 2);
    append(s, 0, " +0000] \"GET /b HTTP/1.1\" 200 10 \"-\" \"-\"\n");
    await_records(s, "edge", 3);
    change(s, &two, &three);
    append(s, 0, JSON_LINE);
    await_records(s, "edge", 4);
    change(s, &three, &logs_conf_nothing);
    assert_int_equal(watch_source_count(s->watch), 0);
    change(s, &logs_conf_nothing, &one); /* from the start: nothing is kept of what went */
    await_records(s, "old", 1);
    finish(s);
}

static void half_a_line_is_read_again_in_the_other_format(void **state)
{
    struct scene *s = *state;
    struct source_conf first[] = { source_of(s, "edge", 0, "combined") },
                       second[] = { source_of(s, "edge", 0, "json") };
    const struct logs_conf one = logs_of(first, 1, 0), two = logs_of(second, 1, 0);
    append(s, 0, LINE "{\"status\": 2");
    start(s, &one);
    await_records(s, "edge", 1);
    change(s, &one, &two);
    append(s, 0, "00}\n");
    await_records(s, "edge", 2);
    finish(s);
}

static void await_hits(struct scene *s, uint32_t count)
{
    for (unsigned i = 0; i < TURNS_MAX && s->hits < count; i++) loop_turn(&s->loop, 1);
    assert_int_equal(s->hits, count);
}

static void a_rule_goes_on_counting_and_speaks_anew_when_it_does_something_else(void **state)
{
    struct scene *s = *state;
    struct source_conf source[] = { source_of(s, "edge", 0, "json") };
    const struct logs_conf one = logs_of(source, 1, 1);
    struct rule_conf moved[] = { rules[1], rules[0] };
    moved[1].is_dry = false;
    const struct logs_conf two = { .sources = { source, 1 }, .rules = { moved, 2 } };
    const struct logs_conf three = { .sources = { source, 1 }, .rules = { moved, 1 } };
    static const char hit[] = "{\"status\": 401, \"client\": \"192.0.2.9\"}\n";
    start(s, &one);
    for (unsigned i = 0; i < 2; i++) append(s, 0, hit);
    await_records(s, "edge", 2);
    change(s, &one, &one); /* nothing is another: nothing happens */
    append(s, 0, hit);
    await_hits(s, 1);
    append(s, 0, hit);
    await_records(s, "edge", 4);
    assert_int_equal(s->hits, 1);
    change(s, &one, &two);
    append(s, 0, hit);
    await_hits(s, 2);
    assert_string_equal(s->latest_rule, "one");
    change(s, &two, &three);
    append(s, 0, hit);
    await_records(s, "edge", 6);
    assert_int_equal(s->hits, 2);
    finish(s);
}

static struct address udp(struct err *err)
{
    struct address a;
    assert_int_equal(address_parse(SLICE("127.0.0.1:1"), false, &a, err), 0);
    a.sa.in4.sin_port = 0; /* any */
    return a;
}

static void what_is_refused_or_not_taken_leaves_all_as_it_was(void **state)
{
    struct scene *s = *state;
    int taken = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct address address = udp(&s->err);
    assert_int_equal(bind(taken, &address.sa.any, address.len), 0);
    assert_int_equal(getsockname(taken, &address.sa.any, &address.len), 0);
    struct source_conf first[] = { source_of(s, "edge", 0, "combined") };
    struct source_conf bad[] = { source_of(s, "edge", 0, "json"),
                                 { .name = "far", .syslog = address, .format = { .text = "combined" } } };
    struct source_conf lost[] = {
        { .name = "edge", .path = "/none/such/a.log", .format = { .text = "combined" } }
    };
    const struct logs_conf one = logs_of(first, 1, 0), two = logs_of(bad, 2, 0), three = logs_of(lost, 1, 0);
    struct watch_change *c = NULL;
    append(s, 0, LINE);
    start(s, &one);
    await_records(s, "edge", 1);
    assert_int_equal(watch_change_new(&c, s->watch, &one, &two, &s->err), 0);
    assert_int_equal(watch_change_reserve(c, &s->err), -1);
    watch_change_free(c);
    assert_non_null(strstr(s->err.text, "logs: log source \"far\": cannot listen for syslog"));
    assert_int_equal(watch_change_new(&c, s->watch, &one, &three, &s->err), -1);
    assert_non_null(strstr(s->err.text, "there is no folder /none/such"));
    close(taken);
    for (unsigned i = 0; i < 2; i++) { /* what is made and not taken gives the address back */
        assert_int_equal(watch_change_new(&c, s->watch, &one, &two, &s->err), 0);
        assert_int_equal(watch_change_reserve(c, &s->err), 0);
        watch_change_free(c);
    }
    append(s, 0, LINE);
    await_records(s, "edge", 2);
    assert_int_equal(watch_source_count(s->watch), 1);
    finish(s);
}

/* syslog */

static struct address at_path(struct scene *s)
{
    struct address a;
    char text[128];
    snprintf(text, sizeof(text), "unix:%s/log.sock", s->folder);
    assert_int_equal(address_parse(slice_of(text), true, &a, &s->err), 0);
    return a;
}

static struct source_conf syslog_of(const char *name, const struct address *a)
{
    return (struct source_conf){ .name = name, .syslog = *a, .format = { .text = "combined" } };
}

static void send_record(const struct address *to)
{
    static const char datagram[] = "<190>Oct 10 13:55:36 host nginx: " LINE;
    int fd = socket(to->sa.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    size_t len = strlen(datagram) - 1; /* without the line's end */
    assert_int_equal(sendto(fd, datagram, len, 0, &to->sa.any, to->len), len);
    close(fd);
}

static _Atomic unsigned removed, removed_late; /* files of sockets; those whose socket was closed already */

/* In the place of the C library's. */
int remove_and_count(const char *path) __asm__("unlink");
int remove_and_count(const char *path)
{
    size_t len = strlen(path);
    if (len > 5 && strcmp(path + len - 5, ".sock") == 0) {
        struct address a = { .len = sizeof(a.sa.un), .sa.un.sun_family = AF_UNIX };
        memcpy(a.sa.un.sun_path, path, len + 1);
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        atomic_fetch_add(&removed, 1);
        if (connect(fd, &a.sa.any, a.len) < 0) atomic_fetch_add(&removed_late, 1);
        close(fd);
    }
    return unlinkat(AT_FDCWD, path, 0);
}

/* Between the two another thread may bind the path, and its file would go. */
static void a_sockets_file_goes_before_its_socket(void **state)
{
    struct scene *s = *state;
    const struct address address = at_path(s);
    struct source_conf source[] = { syslog_of("far", &address) };
    const struct logs_conf one = logs_of(source, 1, 0);
    struct watch_change *c = NULL;
    atomic_store(&removed, 0);
    atomic_store(&removed_late, 0);
    start(s, &logs_conf_nothing);
    assert_int_equal(watch_change_new(&c, s->watch, &logs_conf_nothing, &one, &s->err), 0);
    assert_int_equal(watch_change_reserve(c, &s->err), 0);
    watch_change_free(c);
    assert_int_equal(atomic_load(&removed), 1);
    change(s, &logs_conf_nothing, &one);
    send_record(&address);
    await_records(s, "far", 1);
    finish(s);
    assert_int_equal(atomic_load(&removed), 2);
    assert_int_equal(atomic_load(&removed_late), 0);
}

static void a_source_is_read_though_its_state_cannot_be_made(void **state)
{
    struct scene *s = *state;
    char parent[80], folder[96];
    const struct address address = at_path(s);
    struct source_conf source[] = { syslog_of("far", &address), source_of(s, "edge", 0, "combined") };
    struct logs_conf one = logs_of(source, 2, 0);
    struct logs_conf two = logs_of(source, 2, 1);
    struct watch_change *c = NULL;
    snprintf(parent, sizeof(parent), "%s/parent", s->folder);
    snprintf(folder, sizeof(folder), "%s/state", parent);
    one.state = two.state = folder;
    append(s, 0, LINE);
    start(s, &logs_conf_nothing);
    assert_int_equal(mkdir(parent, 0700), 0);
    assert_int_equal(watch_change_new(&c, s->watch, &logs_conf_nothing, &one, &s->err), 0);
    assert_int_equal(rmdir(parent), 0);
    assert_int_equal(watch_change_reserve(c, &s->err), 0);
    assert_int_equal(watch_change_commit(c, NULL, &s->err), 0);
    send_record(&address);
    await_records(s, "far", 1);
    await_records(s, "edge", 1);
    assert_int_equal(mkdir(parent, 0700), 0);
    change(s, &one, &two); /* it can be made, and what was read goes on */
    send_record(&address);
    await_records(s, "far", 2);
    finish(s);
    snprintf(folder, sizeof(folder), "%s/state/far.logs", parent);
    assert_int_equal(unlink(folder), 0);
    snprintf(folder, sizeof(folder), "%s/state/edge.logs", parent);
    assert_int_equal(unlink(folder), 0);
    snprintf(folder, sizeof(folder), "%s/state", parent);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(rmdir(parent), 0);
}

/* Each change tries again, and what a try has taken is given back: the sanitizer counts it. */
static void an_address_that_was_taken_at_the_start_is_listened_at_later(void **state)
{
    struct scene *s = *state;
    int taken = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const struct address address = at_path(s);
    assert_int_equal(bind(taken, &address.sa.any, address.len), 0);
    struct source_conf source[] = { syslog_of("far", &address) };
    const struct logs_conf one = logs_of(source, 1, 1), two = logs_of(source, 1, 2);
    start(s, &one);
    for (unsigned i = 0; i < 3; i++) {
        change(s, &one, &two);
        change(s, &two, &one);
    }
    look(s, "far"); /* all have been tried */
    close(taken);
    change(s, &one, &two);
    look(s, "far");
    send_record(&address);
    await_records(s, "far", 1);
    finish(s);
}

static struct address free_address(struct err *err)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct address a = udp(err);
    assert_int_equal(bind(fd, &a.sa.any, a.len), 0);
    assert_int_equal(getsockname(fd, &a.sa.any, &a.len), 0);
    close(fd);
    return a;
}

static void two_that_bring_the_same_address_are_not_in_each_others_way(void **state)
{
    struct scene *s = *state;
    struct source_conf sources[] = {
        source_of(s, "edge", 0, "combined"),
        { .name = "far", .syslog = free_address(&s->err), .format = { .text = "combined" } }
    };
    struct source_conf moved[] = { sources[1] };
    moved[0].name = "edge";
    const struct logs_conf one = logs_of(sources, 1, 0), two = logs_of(sources, 2, 0), three = two,
                           four = logs_of(moved, 1, 0);
    struct watch_change *first = NULL, *second = NULL, *third = NULL;
    start(s, &one);
    assert_int_equal(watch_change_new(&first, s->watch, &one, &two, &s->err), 0);
    assert_int_equal(watch_change_new(&second, s->watch, &one, &three, &s->err), 0);
    assert_int_equal(watch_change_new(&third, s->watch, &one, &four, &s->err), 0);
    assert_int_equal(watch_change_reserve(first, &s->err), 0);
    watch_change_free(first); /* it was to be tried only */
    assert_int_equal(watch_change_reserve(third, &s->err), 0);
    watch_change_free(third);
    assert_int_equal(watch_change_reserve(second, &s->err), 0);
    assert_int_equal(watch_change_commit(second, NULL, &s->err), 0);
    change(s, &three, &two);
    finish(s);
}

static void an_address_that_goes_is_there_for_who_comes_next(void **state)
{
    struct scene *s = *state;
    struct source_conf sources[] = {
        source_of(s, "edge", 0, "combined"),
        { .name = "far", .syslog = free_address(&s->err), .format = { .text = "combined" } }
    };
    const struct logs_conf one = logs_of(sources, 1, 0), two = logs_of(sources, 2, 0);
    start(s, &two);
    for (unsigned i = 0; i < 20; i++) { /* whether or not the observer has heard of it */
        change(s, &two, &one);
        change(s, &one, &two);
    }
    finish(s);
}

static void changes_that_nobody_has_heard_of_end_with_the_watch(void **state)
{
    struct scene *s = *state;
    struct source_conf first[] = { source_of(s, "edge", 0, "combined") };
    struct source_conf second[] = { source_of(s, "new", 1, "json") };
    const struct logs_conf one = logs_of(first, 1, 1), two = logs_of(second, 1, 2);
    start(s, &one);
    for (unsigned i = 0; i < 20; i++) {
        change(s, &one, &two);
        change(s, &two, &one);
    }
    finish(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_are_known_again_by_what_they_are_called),
        cmocka_unit_test_setup_teardown(what_stays_goes_on_and_what_comes_begins, open_scene, close_scene),
        cmocka_unit_test_setup_teardown(half_a_line_is_read_again_in_the_other_format, open_scene,
                                        close_scene),
        cmocka_unit_test_setup_teardown(a_rule_goes_on_counting_and_speaks_anew_when_it_does_something_else,
                                        open_scene, close_scene),
        cmocka_unit_test_setup_teardown(what_is_refused_or_not_taken_leaves_all_as_it_was, open_scene,
                                        close_scene),
        cmocka_unit_test_setup_teardown(a_sockets_file_goes_before_its_socket, open_scene, close_scene),
        cmocka_unit_test_setup_teardown(a_source_is_read_though_its_state_cannot_be_made, open_scene,
                                        close_scene),
        cmocka_unit_test_setup_teardown(an_address_that_was_taken_at_the_start_is_listened_at_later,
                                        open_scene, close_scene),
        cmocka_unit_test_setup_teardown(two_that_bring_the_same_address_are_not_in_each_others_way,
                                        open_scene, close_scene),
        cmocka_unit_test_setup_teardown(an_address_that_goes_is_there_for_who_comes_next, open_scene,
                                        close_scene),
        cmocka_unit_test_setup_teardown(changes_that_nobody_has_heard_of_end_with_the_watch, open_scene,
                                        close_scene),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
