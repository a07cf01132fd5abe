#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "own_process.h"
#include "self/landlock.h"

static char folder[64];

/* Where the kernel has no landlock, or one of no use, it is said, and all stays as it was. */
static bool has_kernel_it(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 2;
}

static int give_up(const char *path)
{
    struct landlock_paths paths = { .items = { path }, .count = path ? 1 : 0 };
    struct err err = { "" };
    int result = landlock_give_up(&paths, &err);
    return has_kernel_it() ? result : *err.text && result < 0 && !landlock_is_in_force() ? 0 : -1;
}

static bool can_create(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return false;
    close(fd);
    return unlink(path) == 0;
}

static const char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static int change_files(void)
{
    char other[128];
    HOLDS(give_up(NULL) == 0);
    HOLDS(can_create(in_folder("file")));
    HOLDS(mkdir(in_folder("within"), 0700) == 0);
    HOLDS(can_create(in_folder("within/file")));
    snprintf(other, sizeof(other), "%s", in_folder("within/link"));
    HOLDS(symlink("nowhere", in_folder("link")) == 0 && rename(in_folder("link"), other) == 0 &&
          unlink(other) == 0);
    HOLDS(rmdir(in_folder("within")) == 0);
    HOLDS(access("/etc/passwd", R_OK) == 0 && open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0);
    if (!has_kernel_it()) return 0;
    HOLDS(!can_create("/etc/weir-test") && errno == EACCES);
    HOLDS(!can_create("/usr/weir-test") && errno == EACCES);
    HOLDS(!can_create("/weir-test") && errno == EACCES);
    HOLDS(mkdir("/etc/weir-test", 0700) == -1 && errno == EACCES);
    return 0;
}

static void folders_of_the_system_stay_as_they_are_and_others_may_change(void **state)
{
    (void)state;
    assert_int_equal(in_own_process(change_files), 0);
}

static int run_program(void)
{
    static char name[] = "true";
    char *const arguments[] = { name, NULL };
    const char *path = in_folder("true");
    int status;
    HOLDS(give_up(NULL) == 0);
    pid_t pid = fork();
    if (!pid) {
        execv(path, arguments);
        _exit(errno == EACCES ? 3 : 4);
    }
    HOLDS(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    HOLDS(WEXITSTATUS(status) == (has_kernel_it() ? 3 : 0));
    pid = fork();
    if (!pid) {
        execv("/bin/true", arguments);
        _exit(4);
    }
    HOLDS(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return 0;
}

static void what_was_written_among_data_is_not_run(void **state)
{
    char command[256];
    (void)state;
    snprintf(command, sizeof(command), "cp /bin/true %s", in_folder("true"));
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c)
    assert_int_equal(in_own_process(run_program), 0);
    unlink(in_folder("true"));
}

static int name_a_place(void)
{
    HOLDS(landlock_may_write("/etc/weir-test"));
    HOLDS(give_up("/etc/alternatives/weir-test/not-there-yet") == 0);
    HOLDS(landlock_may_write(in_folder("not-there/either")));
    HOLDS(landlock_may_write("/etc/alternatives/weir-test"));
    if (!has_kernel_it()) return 0;
    HOLDS(!landlock_may_write("/etc/weir-test/file"));
    HOLDS(!landlock_may_write("/usr/share/weir-test"));
    HOLDS(!landlock_may_write("/weir-test"));
    return 0;
}

static void what_is_named_may_be_written_also_in_a_folder_of_the_system(void **state)
{
    (void)state;
    assert_int_equal(in_own_process(name_a_place), 0);
}

/* The name in one folder, the file in another. */
static int name_links(void)
{
    char target[160];
    char link[160];
    snprintf(target, sizeof(target), "%s/data/there", folder);
    snprintf(link, sizeof(link), "%s/names/link", folder);
    HOLDS(give_up(link) == 0);
    HOLDS(landlock_may_write(link) && landlock_may_write(target));
    HOLDS(!has_kernel_it() || !landlock_may_write(in_folder("other")));
    int fd = open(link, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    HOLDS(fd >= 0 && close(fd) == 0);
    HOLDS(unlink(target) == 0 && unlink(link) == 0); /* to be replaced */
    return 0;
}

static int name_link_to_what_is_not_there(void)
{
    char link[160];
    snprintf(link, sizeof(link), "%s/names/link", folder);
    HOLDS(give_up(link) == 0);
    int fd = open(link, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    HOLDS(fd >= 0 && close(fd) == 0);
    return 0;
}

static void a_link_that_is_named_is_written_where_it_leads_to(void **state)
{
    char before[sizeof(folder)];
    char target[160];
    (void)state;
    snprintf(before, sizeof(before), "%s", folder);
    snprintf(folder, sizeof(folder), "/usr/local/weir-landlock-%d", (int)getpid());
    bool is_made = mkdir(folder, 0700) == 0; /* only who is root may */
    snprintf(target, sizeof(target), "%s/data/there", folder);
    if (is_made) {
        assert_int_equal(mkdir(in_folder("names"), 0700) + mkdir(in_folder("data"), 0700), 0);
        assert_int_equal(symlink("../data/there", in_folder("names/link")), 0);
        assert_int_equal(in_own_process(name_link_to_what_is_not_there), 0);
        assert_int_equal(in_own_process(name_links), 0);
        unlink(target);
        unlink(in_folder("names/link"));
        rmdir(in_folder("names"));
        rmdir(in_folder("data"));
        rmdir(folder);
    }
    snprintf(folder, sizeof(folder), "%s", before);
}

/* Folders of data may have any name, one with a dot at its beginning, too; nobody but root makes one in the root. */
static int write_in_a_folder_with_a_dot(void)
{
    HOLDS(give_up(NULL) == 0);
    HOLDS(landlock_may_write(in_folder("file")) && can_create(in_folder("file")));
    return 0;
}

static void a_folder_of_the_root_may_begin_with_a_dot(void **state)
{
    char before[sizeof(folder)];
    (void)state;
    snprintf(before, sizeof(before), "%s", folder);
    snprintf(folder, sizeof(folder), "/.weir-landlock-%d", (int)getpid());
    bool is_made = mkdir(folder, 0700) == 0;
    int result = is_made ? in_own_process(write_in_a_folder_with_a_dot) : 0;
    if (is_made) rmdir(folder);
    snprintf(folder, sizeof(folder), "%s", before);
    assert_int_equal(result, 0);
}

static int name_the_root(void)
{
    static const char *const paths[] = { "/not-there", "/not-there-either/", "./not-there" };
    HOLDS(chdir("/") == 0);
    for (unsigned i = 0; i < 3; i++) {
        struct landlock_paths named = { .items = { paths[i] }, .count = 1 };
        struct err err = { "" };
        HOLDS(landlock_give_up(&named, &err) == -1 && !landlock_is_in_force());
        HOLDS(!has_kernel_it() || strstr(err.text, "root itself"));
        HOLDS(landlock_may_write(paths[i]));
    }
    return 0;
}

static void where_the_root_itself_is_named_no_file_is_given_up_and_that_is_said(void **state)
{
    (void)state;
    assert_int_equal(in_own_process(name_the_root), 0);
}

/* Left behind by a weir that was killed: it is taken away, and made anew. */
static int name_a_socket(void)
{
    const char *path = in_folder("socket");
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    HOLDS(fd >= 0 && bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0);
    close(fd);
    HOLDS(give_up(path) == 0);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    HOLDS(fd >= 0 && unlink(path) == 0 && bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0);
    HOLDS(landlock_may_write(path));
    return 0;
}

static void a_socket_that_is_named_may_be_made_anew(void **state)
{
    char before[sizeof(folder)];
    (void)state;
    snprintf(before, sizeof(before), "%s", folder);
    snprintf(folder, sizeof(folder), "/usr/local/weir-landlock-%d", (int)getpid());
    bool is_made = mkdir(folder, 0700) == 0;
    if (is_made) assert_int_equal(in_own_process(name_a_socket), 0); /* only who is root may */
    unlink(in_folder("socket"));
    if (is_made) rmdir(folder);
    snprintf(folder, sizeof(folder), "%s", before);
}

int main(void)
{
    snprintf(folder, sizeof(folder), "/tmp/weir-landlock-%d", (int)getpid());
    if (mkdir(folder, 0700) < 0) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_of_the_system_stay_as_they_are_and_others_may_change),
        cmocka_unit_test(what_was_written_among_data_is_not_run),
        cmocka_unit_test(what_is_named_may_be_written_also_in_a_folder_of_the_system),
        cmocka_unit_test(where_the_root_itself_is_named_no_file_is_given_up_and_that_is_said),
        cmocka_unit_test(a_link_that_is_named_is_written_where_it_leads_to),
        cmocka_unit_test(a_folder_of_the_root_may_begin_with_a_dot),
        cmocka_unit_test(a_socket_that_is_named_may_be_made_anew),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(folder);
    return failed;
}
