/* What a process gives up is given up for good: each test that does has a process of its own. Include after cmocka.h. */
#pragma once

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* In `body` of in_own_process(). */
#define HOLDS(condition) \
    if (!(condition)) return __LINE__ % 256

/* Returns its exit code: 0, or the line that was not as it should be. */
static inline int in_own_process(int (*body)(void))
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(body());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}
