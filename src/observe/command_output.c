#include "observe/command_output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/spawn.h"

/* The caller's environment with the locale C. */
#define ENVIRONMENT_MAX 256u

static void make_environment(char *out[ENVIRONMENT_MAX])
{
    uint32_t count = 0;
    for (char **e = environ; e && *e && count < ENVIRONMENT_MAX - 2; e++)
        if (strncmp(*e, "LC_", 3) != 0 && strncmp(*e, "LANG", 4) != 0) out[count++] = *e;
    out[count++] = (char *)"LC_ALL=C";
    out[count] = NULL;
}

static int set_files(posix_spawn_file_actions_t *files, int output)
{
    int error = posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY, 0);
    if (!error) error = posix_spawn_file_actions_adddup2(files, output, 1);
    if (!error) error = posix_spawn_file_actions_addopen(files, 2, "/dev/null", O_WRONLY, 0);
    return error;
}

static int start_command(char *const argv[], int output, pid_t *pid)
{
    char *environment[ENVIRONMENT_MAX];
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    make_environment(environment);
    int error = posix_spawn_file_actions_init(&files);
    if (error) return error;
    error = posix_spawnattr_init(&attributes);
    if (error) goto drop_files;
    error = set_files(&files, output);
    if (!error) error = spawn_set_signals(&attributes);
    if (!error) error = posix_spawnp(pid, argv[0], &files, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
drop_files:
    posix_spawn_file_actions_destroy(&files);
    return error;
}

/* False: the time is over. */
static bool wait_readable(int fd, uint64_t deadline_ns)
{
    for (;;) {
        uint64_t now_ns = clock_now_ns();
        if (now_ns >= deadline_ns) return false;
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int n = poll(&p, 1, (int)((deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS));
        if (n > 0) return true;
        if (n < 0 && errno != EINTR) return false;
    }
}

/* Until its end, `cap` or the deadline; false: the deadline. */
static bool read_output(int fd, uint64_t deadline_ns, char *memory, size_t cap, struct slice *out)
{
    *out = (struct slice){ memory, 0 };
    while (out->len < cap) {
        if (!wait_readable(fd, deadline_ns)) return false;
        ssize_t n = read(fd, memory + out->len, cap - out->len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return true;
        out->len += (size_t)n;
    }
    return true;
}

/* Its status, or -1 if the time was over before it ended. A program that closed its output is about to end. */
static int wait_for_end(pid_t pid, uint64_t deadline_ns)
{
    int status;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (clock_now_ns() >= deadline_ns) {
            kill(pid, SIGKILL);
            while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
            return -1;
        }
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int command_output(char *const argv[], uint32_t limit_ms, char *memory, size_t cap, struct slice *out,
                   struct err *err)
{
    int ends[2];
    pid_t pid;
    uint64_t deadline_ns = clock_now_ns() + limit_ms * NS_PER_MS;
    if (pipe2(ends, O_CLOEXEC) < 0) return err_set(err, "%s: %s", argv[0], strerror(errno));
    int error = start_command(argv, ends[1], &pid);
    close(ends[1]);
    if (error) {
        close(ends[0]);
        return err_set(err, "%s: %s", argv[0], strerror(error));
    }
    bool is_in_time = read_output(ends[0], deadline_ns, memory, cap, out);
    close(ends[0]);
    int status = wait_for_end(pid, is_in_time ? deadline_ns : 0);
    if (!is_in_time || status < 0) return err_set(err, "%s did not answer within %u ms", argv[0], limit_ms);
    if (status) return err_set(err, "%s ended with status %d", argv[0], status);
    return 0;
}
