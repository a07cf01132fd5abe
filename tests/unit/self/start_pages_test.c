/* What was mapped and looked at goes, what was written stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "self/start_pages.h"

#define PAGES 8u
#define BYTES (PAGES * 4096u)

static int file_of_pages(void)
{
    char path[] = "/tmp/start_pages.XXXXXX", page[BYTES];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    memset(page, 'f', sizeof(page));
    assert_int_equal(write(fd, page, sizeof(page)), sizeof(page));
    return fd;
}

/* Pages of the mapping that are counted as this process's, in KiB. */
static unsigned long rss_of(const void *mapping)
{
    char line[512];
    unsigned long rss = 0;
    bool is_it = false;
    FILE *f = fopen("/proc/self/smaps", "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        uint64_t start, end;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2)
            is_it = start == (uint64_t)(uintptr_t)mapping;
        if (is_it && sscanf(line, "Rss: %lu kB", &rss) == 1) break;
    }
    fclose(f);
    return rss;
}

static unsigned sum_of(const volatile char *bytes)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < BYTES; i++) sum += (unsigned char)bytes[i];
    return sum;
}

static void what_was_looked_at_goes_and_is_there_again(void **state)
{
    (void)state;
    int fd = file_of_pages();
    char *m = mmap(NULL, BYTES, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_ptr_not_equal(m, MAP_FAILED);
    assert_int_equal(sum_of(m), BYTES * 'f');
    assert_true(rss_of(m) > 0);
    assert_true(start_pages_release() >= BYTES);
    assert_int_equal(rss_of(m), 0);
    assert_int_equal(sum_of(m), BYTES * 'f');
    munmap(m, BYTES);
    close(fd);
}

/* As a breakpoint is set in a program, and an address in its constants. */
static void what_was_written_stays(void **state)
{
    (void)state;
    int fd = file_of_pages();
    char *m = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    assert_ptr_not_equal(m, MAP_FAILED);
    m[4097] = '\xcc';
    assert_int_equal(mprotect(m, BYTES, PROT_READ), 0);
    start_pages_release();
    assert_int_equal(m[4097], '\xcc');
    munmap(m, BYTES);
    close(fd);
}

/* What may be written to is somebody's data, and shared pages are not only ours. */
static void others_are_left_alone(void **state)
{
    (void)state;
    int fd = file_of_pages();
    char *writable = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0),
         *shared = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(writable != MAP_FAILED && shared != MAP_FAILED);
    sum_of(writable), sum_of(shared);
    start_pages_release();
    assert_true(rss_of(writable) > 0);
    assert_true(rss_of(shared) > 0);
    munmap(writable, BYTES);
    munmap(shared, BYTES);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_looked_at_goes_and_is_there_again),
        cmocka_unit_test(what_was_written_stays),
        cmocka_unit_test(others_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
