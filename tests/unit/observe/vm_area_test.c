#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "observe/vm_area.h"

static const char sample[] =
    "55d0-55e0 r--p 00001000 fe:01 1234                       /usr/sbin/weir\n"
    "Size:                 64 kB\n"
    "Anonymous:             0 kB\n"
    "VmFlags: rd mr mw me sd \n"
    "55e0-5600 rw-p 00000000 00:00 0 \n"
    "Anonymous:           128 kB\n"
    "VmFlags: rd wr mr mw me ac dd sd \n"
    "7f00-7f10 rw-s 00000000 00:01 99                         /memfd:ring (deleted)\n"
    "VmFlags: rd wr sh mr mw me ms sd \n"
    "7ff0-7ff8 r--p 00000000 00:00 0                          [vvar]\n"
    "VmFlags: rd mr pf io de dd sd \n";

static void areas_are_read_as_proc_has_them(void **state)
{
    (void)state;
    struct vm_areas areas = { 0 };
    struct err err;
    assert_int_equal(vm_areas_parse(&areas, SLICE(sample), &err), 0);
    assert_int_equal(areas.count, 4);
    const struct vm_area *a = areas.items;
    assert_int_equal(a[0].start, 0x55d0);
    assert_int_equal(a[0].end, 0x55e0);
    assert_int_equal(a[0].offset, 0x1000);
    assert_true(a[0].can_read && !a[0].can_write && a[0].is_file && !a[0].has_own && !a[0].is_left_out);
    assert_string_equal(a[0].path, "/usr/sbin/weir");
    assert_true(a[1].can_write && !a[1].is_file && a[1].has_own && a[1].is_left_out);
    assert_string_equal(a[1].path, "");
    assert_true(a[2].is_shared && a[2].is_file);
    assert_true(a[3].is_left_out);
    assert_string_equal(a[3].path, "[vvar]");
    vm_areas_fini(&areas);
}

static void what_is_no_area_is_passed_over(void **state)
{
    (void)state;
    struct vm_areas areas = { 0 };
    struct err err;
    assert_int_equal(
        vm_areas_parse(&areas, SLICE("VmFlags: dd\n\nzz-yy rw-p\n20-10 r--p 0 0:0 0\n10-20 rw"), &err), 0);
    assert_int_equal(areas.count, 0);
    vm_areas_fini(&areas);
}

static void what_is_mapped_anew_shows(void **state)
{
    (void)state;
    struct vm_areas areas;
    struct err err;
    assert_int_equal(vm_areas_read(&areas, getpid(), &err), 0);
    assert_true(areas.count > 3);
    void *p = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    assert_false(vm_areas_are_current(&areas, getpid()));
    munmap(p, 1 << 20);
    vm_areas_fini(&areas);
}

static void nobody_has_no_areas(void **state)
{
    (void)state;
    struct vm_areas areas;
    struct err err;
    assert_int_equal(vm_areas_read(&areas, 999999999, &err), -1);
    assert_string_equal(err.text, "cannot read the mappings of process 999999999: there is no such process");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(areas_are_read_as_proc_has_them),
        cmocka_unit_test(what_is_no_area_is_passed_over),
        cmocka_unit_test(what_is_mapped_anew_shows),
        cmocka_unit_test(nobody_has_no_areas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
