#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <linux/capability.h>
#include <string.h>
#include <cmocka.h>

#include "self/privileges.h"

#define BIT(capability) (UINT64_C(1) << (capability))

static const char *print(uint64_t capabilities)
{
    static char room[1024];
    struct text out = text_over(room, sizeof(room));
    privileges_print(capabilities, &out);
    return text_cstr(&out);
}

static void capabilities_have_the_kernels_names(void **state)
{
    (void)state;
    static const struct {
        uint64_t capabilities;
        const char *text;
    } cases[] = {
        { 0, "none" },
        { BIT(CAP_CHOWN), "chown" },
        { BIT(CAP_NET_BIND_SERVICE), "net_bind_service" },
        { BIT(CAP_SYS_PTRACE) | BIT(CAP_NET_BIND_SERVICE), "net_bind_service sys_ptrace" },
        { BIT(CAP_SYS_ADMIN) | BIT(CAP_SETFCAP), "sys_admin setfcap" },
        { BIT(CAP_PERFMON) | BIT(CAP_BPF), "perfmon bpf" },
        { BIT(CAP_CHECKPOINT_RESTORE), "checkpoint_restore" },
        { BIT(63), "63" }, /* of a kernel to come */
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_string_equal(print(cases[i].capabilities), cases[i].text);
}

static void what_is_no_name_changes_nothing(void **state)
{
    (void)state;
    static const char *const wrong[] = { "", ":", ":root", "nobody:", "no-such-user-here", "root" };
    struct privileges before, after;
    privileges_read(&before);
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct err err = { "" };
        assert_int_equal(privileges_drop(wrong[i], &err), -1);
        assert_int_equal(strncmp(err.text, "user: ", 6), 0);
    }
    privileges_read(&after);
    assert_int_equal(after.user, before.user);
    assert_int_equal(after.group, before.group);
    assert_int_equal(after.may_gain, before.may_gain);
    assert_true(after.capabilities == before.capabilities);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capabilities_have_the_kernels_names),
        cmocka_unit_test(what_is_no_name_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
