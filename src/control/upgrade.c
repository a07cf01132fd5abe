#include "control/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/log.h"
#include "base/spawn.h"
#include "base/text.h"
#include "control/health_notes.h"
#include "net/pass.h"
#include "net/socket_set.h"
#include "proxy/worker.h"
#include "proxy/worker_life.h"
#include "record/access_log.h"
#include "self/landlock.h"

#define ARGUMENTS_BYTES_MAX (2u << 20)
#define LOGGED_REASON_MAX 800u /* of a line's 1,024 bytes */
#define TOLD_LOOK_MS 1u
/* A successor that has closed its channel is about to end; if it does not, it is ended. */
#define REAP_LOOK_MS 10u
#define REAP_LOOKS 50u

/* COPYING: workers are being told that a new process has copies of their descriptors until it is the other program. */
enum stage { IDLE, COPYING, WAITING, REAPING, SUCCEEDED };

struct upgrade {
    struct upgrader upgrader; /* first */
    struct upgrade_options o;
    enum stage stage;
    struct upgrade_ask ask; /* done is NULL: a signal's */
    struct loop_fd channel;
    struct timer timer;
    uint32_t looks;
    uint64_t until_ns;
    _Atomic uint32_t told; /* workers */
    pid_t pid;
    char complaint[PASS_TEXT_MAX + 1]; /* the successor's; empty: none */
};

/* the end of it */

static void answer(struct upgrade *u, struct answer *a)
{
    if (u->ask.done)
        u->ask.done(u->ask.context, a);
    else
        answer_fini(a);
    u->ask = (struct upgrade_ask){ 0 };
}

static void stop_listening(struct upgrade *u)
{
    loop_disarm(u->o.loop, &u->timer);
    loop_fd_close(u->o.loop, &u->channel);
}

/* Without this a worker that closes a connection meanwhile would hear of its peer's end when nothing of it is there any more:
 * only what nobody holds goes out of epoll of itself. */
static void tell_copied(struct upgrade *u, bool is_copied)
{
    const struct proxy *p = u->o.proxy;
    u->o.loop->is_copied = is_copied;
    if (is_copied) atomic_store(&u->told, 0);
    for (uint32_t i = 0; i < p->worker_count; i++)
        worker_tell_copied(p->workers[i], is_copied, is_copied ? &u->told : NULL);
}

/* In one line: what is indented is the file's own text, for people. */
static const char *in_one_line(const char *reason, char out[PASS_TEXT_MAX])
{
    struct text t = text_over(out, PASS_TEXT_MAX - 1);
    for (const char *end = reason; *reason; reason = *end ? end + 1 : end) {
        end = reason + strcspn(reason, "\n");
        if (*reason == ' ' || end == reason) continue;
        if (t.len) text_add_slice(&t, SLICE("; "));
        text_add(&t, reason, (size_t)(end - reason));
    }
    return text_cstr(&t);
}

static void fail(struct upgrade *u, const char *reason)
{
    char line[PASS_TEXT_MAX], quoted[LOGGED_REASON_MAX];
    struct answer a = { 0 };
    struct json j;
    stop_listening(u);
    tell_copied(u, false);
    u->stage = IDLE;
    log_event(LOG_ERROR, "upgrade_failed", "remedy=\"this process goes on\" reason=%s",
              log_quote(in_one_line(reason, line), quoted, sizeof(quoted)));
    json_init(&j, 2 * PASS_TEXT_MAX, true);
    json_object(&j);
    json_key(&j, "title");
    json_string(&j, "The new process has not taken over; this one goes on.");
    json_key(&j, "status");
    json_u64(&j, 409);
    json_key(&j, "detail");
    json_string(&j, reason);
    json_object_end(&j);
    answer_json(&a, 409, &j);
    a.content_type = "application/problem+json";
    answer(u, &a);
    u->o.on_failure(u->o.context);
}

/* What is known of a successor that has ended. */
static void fail_with_status(struct upgrade *u, int status)
{
    char reason[PASS_TEXT_MAX + 128];
    if (*u->complaint)
        snprintf(reason, sizeof(reason), "the new process refuses: %s", u->complaint);
    else if (WIFSIGNALED(status))
        snprintf(reason, sizeof(reason), "the new process was killed by signal %d (%s) before it was ready",
                 WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(reason, sizeof(reason), "the new process exited with code %d before it was ready",
                 WEXITSTATUS(status));
    fail(u, reason);
}

static void kill_successor(const struct upgrade *u)
{
    int status;
    kill(u->pid, SIGKILL);
    while (waitpid(u->pid, &status, 0) < 0 && errno == EINTR) continue;
}

static void on_ready(struct upgrade *u)
{
    struct upgrade_outcome outcome = { (uint64_t)u->pid, (uint64_t)getpid() };
    struct answer a = { 0 };
    struct json j;
    loop_disarm(u->o.loop, &u->timer);
    tell_copied(u, false);
    u->stage = SUCCEEDED;
    signal(SIGCHLD, SIG_IGN); /* its end, and that of its like, is nobody's concern here: no zombies */
    log_event(LOG_INFO, "upgraded", "successor=%d", (int)u->pid);
    json_init(&j, 4096, true);
    shape_print(&upgrade_outcome_shape, &outcome, &j);
    answer_json(&a, 200, &j);
    answer(u, &a);
    u->o.on_ready(u->o.context, u->pid);
    heritage_pass_on(u->o.heritage, u->channel.fd);
}

static void reap(struct upgrade *u)
{
    int status;
    if (waitpid(u->pid, &status, WNOHANG) == u->pid) {
        fail_with_status(u, status);
    } else if (++u->looks < REAP_LOOKS) {
        loop_arm(u->o.loop, &u->timer, REAP_LOOK_MS);
    } else {
        kill_successor(u);
        fail(u, "the new process closed its channel without being ready: it is another program, or an older "
                "weir");
    }
}

static void give_up(struct upgrade *u)
{
    char reason[128];
    if (u->stage == WAITING) kill_successor(u);
    snprintf(reason, sizeof(reason),
             "the new process was not ready within %llu ms (timeouts: upgrade) and was ended",
             (unsigned long long)u->o.wait_ms(u->o.context));
    fail(u, reason);
}

static void on_end(struct upgrade *u)
{
    if (u->stage == SUCCEEDED) {
        log_event(LOG_WARN, "successor_gone", "successor=%d", (int)u->pid);
        stop_listening(u);
        return;
    }
    loop_fd_close(u->o.loop, &u->channel);
    u->stage = REAPING;
    u->looks = 0;
    loop_arm(u->o.loop, &u->timer, 0);
}

static void hear(struct upgrade *u, const char *text)
{
    static const char failed[] = "failed ";
    if (strcmp(text, "ready") == 0 && u->stage == WAITING)
        on_ready(u);
    else if (strncmp(text, failed, sizeof(failed) - 1) == 0)
        memcpy(u->complaint, text + sizeof(failed) - 1, strlen(text) - sizeof(failed) + 2);
    else if (strcmp(text, "reopen") == 0 && u->o.proxy->access_log)
        access_log_reopen(u->o.proxy->access_log);
}

static void on_word(struct loop_fd *f, uint32_t events)
{
    (void)events;
    struct upgrade *u = container_of(f, struct upgrade, channel);
    struct pass_message m;
    enum pass got;
    while ((got = pass_receive(f->fd, &m)) == PASS_OK) {
        pass_close_fds(&m);
        hear(u, m.text);
    }
    if (got != PASS_AGAIN) on_end(u);
}

/* what is given */

/* One message, of as many sets as it holds. */
struct parcel {
    int channel;
    char memory[PASS_TEXT_MAX];
    struct text text;
    int fds[PASS_FDS_MAX];
    uint32_t fd_count;
    bool has_failed;
};

static void begin_parcel(struct parcel *p)
{
    p->text = text_over(p->memory, sizeof(p->memory));
    p->fd_count = 0;
    text_add_slice(&p->text, SLICE("sockets\n"));
}

static void send_parcel(struct parcel *p)
{
    if (p->fd_count &&
        pass_send(p->channel, (struct slice){ p->text.data, p->text.len }, p->fds, p->fd_count) != PASS_OK)
        p->has_failed = true;
    begin_parcel(p);
}

static void add_set(struct parcel *p, const struct socket_set *s)
{
    for (uint32_t at = 0; at < s->count;) {
        if (p->fd_count == PASS_FDS_MAX || p->text.cap - p->text.len < ADDRESS_TEXT_MAX + 16) send_parcel(p);
        uint32_t room = PASS_FDS_MAX - p->fd_count, rest = s->count - at, count = rest < room ? rest : room;
        const struct socket_gift like = { .address = s->address,
                                          .keeps_path = s->keeps_path,
                                          .is_udp = s->is_udp };
        socket_store_write(&p->text, &like, count);
        memcpy(p->fds + p->fd_count, s->fds + at, count * sizeof(int));
        p->fd_count += count;
        at += count;
    }
}

/* All of it waits in the channel before the successor begins. */
static int give(struct upgrade *u, int channel, struct err *err)
{
    struct parcel *p = malloc(sizeof(*p));
    if (!p) return err_set(err, "there is no memory to hand over sockets");
    *p = (struct parcel){ .channel = channel };
    begin_parcel(p);
    const struct list *sets = &u->o.proxy->sockets;
    for (const struct list *at = sets->next; at != sets; at = at->next)
        add_set(p, container_of(at, struct socket_set, link));
    const struct socket_set *admin = admin_sockets(*u->o.admin);
    if (admin) add_set(p, admin);
    send_parcel(p);
    int folder = u->o.find_folder(u->o.context);
    if (folder >= 0 && pass_send(channel, SLICE("folder"), &folder, 1) != PASS_OK) p->has_failed = true;
    int health = health_notes_write(u->o.proxy, loop_now_ms(u->o.loop));
    /* Without it servers begin as at any start: no reason to stay. */
    if (health >= 0) {
        (void)pass_send(channel, SLICE("health"), &health, 1);
        close(health);
    }
    if (pass_send(channel, SLICE("end"), NULL, 0) != PASS_OK) p->has_failed = true;
    bool has_failed = p->has_failed;
    free(p);
    return has_failed ? err_set(err, "the sockets cannot be handed over: %s", strerror(errno)) : 0;
}

/* starting it */

/* "a\0b\0": what this process was started with. The caller frees both. NULL: it cannot be read. */
static char **read_arguments(char **memory)
{
    size_t len = 0, count = 0;
    char *text = malloc(ARGUMENTS_BYTES_MAX + 1);
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    for (ssize_t got; text && fd >= 0 && len < ARGUMENTS_BYTES_MAX; len += (size_t)got)
        if ((got = read(fd, text + len, ARGUMENTS_BYTES_MAX - len)) <= 0) break;
    if (fd >= 0) close(fd);
    for (size_t i = 0; i < len; i++) count += !text[i];
    char **arguments = count ? calloc(count + 1, sizeof(char *)) : NULL;
    char *at = text;
    for (size_t i = 0; arguments && i < count; i++, at += strlen(at) + 1) arguments[i] = at;
    *memory = text;
    return arguments;
}

static bool is_named(const char *entry, const char *name)
{
    size_t len = strlen(name);
    return strncmp(entry, name, len) == 0 && entry[len] == '=';
}

/* This process's, with the channel; WATCHDOG_PID names this process, and the successor is who systemd watches then. */
static char **make_environment(char channel[48], int fd)
{
    size_t count = 0, kept = 0;
    while (environ[count]) count++;
    char **out = calloc(count + 2, sizeof(char *));
    if (!out) return NULL;
    for (size_t i = 0; i < count; i++)
        if (!is_named(environ[i], HERITAGE_VARIABLE) && !is_named(environ[i], "WATCHDOG_PID"))
            out[kept++] = environ[i];
    snprintf(channel, 48, HERITAGE_VARIABLE "=%d", fd);
    out[kept] = channel;
    return out;
}

/* An errno, of execve(2) too. */
static int start_program(const char *program, char **arguments, char **environment, int channel, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    int error = posix_spawn_file_actions_init(&files);
    if (error) return error;
    error = posix_spawnattr_init(&attributes);
    if (!error) {
        error = spawn_set_signals(&attributes);
        /* The same number: which takes its close-on-exec away. */
        if (!error) error = posix_spawn_file_actions_adddup2(&files, channel, channel);
        if (!error) error = posix_spawn(pid, program, &files, &attributes, arguments, environment);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&files);
    return error;
}

/* access() goes by permissions alone. */
static int cannot_be_started(const char *program, int error, struct err *err)
{
    bool is_given_up = error == EACCES && landlock_is_in_force() && access(program, X_OK) == 0;
    return err_set(err, "%.200s cannot be started: %s%s", program, strerror(error),
                   is_given_up
                       ? "; weir has given up starting programs from folders for data (/var, /srv, "
                         "/tmp, …) at its start, but for "
                         "the one that its own program was in then: restart weir (hardening: landlock)"
                       : "");
}

static int start_successor(struct upgrade *u, int channel, struct err *err)
{
    const char *program = (const char *)getauxval(AT_EXECFN); /* NOLINT(performance-no-int-to-ptr) */
    char *memory = NULL, variable[48];
    char **arguments = read_arguments(&memory), **environment = make_environment(variable, channel);
    int error = !program || !arguments || !environment
                    ? ENOMEM
                    : start_program(program, arguments, environment, channel, &u->pid);
    free(arguments);
    free(environment);
    free(memory);
    return error ? cannot_be_started(program ? program : "the program", error, err) : 0;
}

static int listen_to(struct upgrade *u, int fd, struct err *err)
{
    u->channel = (struct loop_fd){ .fd = fd, .on_ready = on_word };
    if (loop_fd_register(u->o.loop, &u->channel, EPOLLIN) == 0) return 0;
    err_set(err, "a new process could not be heard: %s", strerror(errno));
    loop_fd_close(u->o.loop, &u->channel);
    return -1;
}

static int launch(struct upgrade *u, struct err *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return err_set(err, "there is no channel to a new process to be had: %s", strerror(errno));
    fcntl(ends[0], F_SETFL, O_RDWR | O_NONBLOCK);
    int result = give(u, ends[0], err);
    if (result == 0) result = start_successor(u, ends[1], err);
    close(ends[1]);
    if (result < 0) {
        close(ends[0]);
        return -1;
    }
    if (listen_to(u, ends[0], err) == 0) return 0;
    kill_successor(u);
    return -1;
}

static void on_time(struct timer *t)
{
    struct upgrade *u = container_of(t, struct upgrade, timer);
    struct err err;
    bool is_late = u->o.loop->now_ns >= u->until_ns;
    if (u->stage == REAPING) {
        reap(u);
    } else if (u->stage == WAITING || is_late) {
        give_up(u);
    } else if (atomic_load(&u->told) < u->o.proxy->worker_count) {
        loop_arm(u->o.loop, t, TOLD_LOOK_MS);
    } else if (launch(u, &err) < 0) {
        fail(u, err.text);
    } else {
        u->stage = WAITING;
        loop_arm(u->o.loop, t, (u->until_ns - u->o.loop->now_ns) / NS_PER_MS + 1);
        log_event(LOG_INFO, "upgrading", "successor=%d", (int)u->pid);
    }
}

static int begin(struct upgrade *u, struct err *err)
{
    if (u->stage == SUCCEEDED) return err_set(err, "process %d has taken over already", (int)u->pid);
    if (u->stage != IDLE) return err_set(err, "another process is being started already to take over");
    if (atomic_load(&u->o.proxy->is_draining))
        return err_set(err, "this process is draining: it was told to stop");
    if (u->o.may_begin(u->o.context, err) < 0) return -1;
    *u->complaint = 0;
    u->stage = COPYING;
    u->until_ns = u->o.loop->now_ns + u->o.wait_ms(u->o.context) * NS_PER_MS;
    u->o.on_begin(u->o.context);
    tell_copied(u, true);
    loop_arm(u->o.loop, &u->timer, TOLD_LOOK_MS);
    return 0;
}

/* asking */

static void say_refused(const struct err *err)
{
    char quoted[ERR_TEXT_MAX + 64];
    log_event(LOG_ERROR, "upgrade_failed", "remedy=\"this process goes on\" reason=%s",
              log_quote(err->text, quoted, sizeof(quoted)));
}

static int ask(struct upgrader *upgrader, const struct upgrade_ask *what, struct err *err)
{
    struct upgrade *u = (struct upgrade *)upgrader;
    if (begin(u, err) < 0) {
        say_refused(err);
        return -1;
    }
    u->ask = *what;
    return 0;
}

static uint32_t predecessors(struct upgrader *upgrader, struct predecessor out[PREDECESSORS_MAX])
{
    return heritage_predecessors(((struct upgrade *)upgrader)->o.heritage, out);
}

int upgrade_new(struct upgrade **out, const struct upgrade_options *o, struct err *err)
{
    struct upgrade *u = calloc(1, sizeof(*u));
    if (!u) return err_set(err, "out of memory at start");
    u->upgrader = (struct upgrader){ ask, predecessors };
    u->o = *o;
    u->channel.fd = -1;
    timer_init(&u->timer, on_time);
    *out = u;
    return 0;
}

void upgrade_stop(struct upgrade *u)
{
    if (!u) return;
    if (u->stage == WAITING || u->stage == REAPING) kill_successor(u);
    if (u->stage != SUCCEEDED) u->stage = IDLE;
    stop_listening(u);
}

void upgrade_free(struct upgrade *u)
{
    free(u);
}

struct upgrader *upgrade_upgrader(struct upgrade *u)
{
    return &u->upgrader;
}

void upgrade_by_signal(struct upgrade *u)
{
    struct err err = { "" };
    if (begin(u, &err) < 0) say_refused(&err);
}

bool upgrade_has_successor(const struct upgrade *u)
{
    return u->stage == SUCCEEDED;
}

void upgrade_say_left(const struct upgrade *u, const struct drain_left *left)
{
    if (u->stage == SUCCEEDED && u->channel.fd >= 0) heritage_say_left(u->channel.fd, left);
}
