#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <cmocka.h>

#include "crash/fault.h"

static const struct {
    siginfo_t info;
    const char *text;
} cases[] = {
    { { .si_signo = SIGSEGV, .si_code = SEGV_ACCERR, .si_addr = (void *)0x1234 },
      "SIGSEGV (invalid memory reference): the mapping does not allow it (SEGV_ACCERR), address "
      "0x0000000000001234" },
    { { .si_signo = SIGSEGV, .si_code = SI_USER, .si_pid = 12, .si_uid = 34 },
      "SIGSEGV (invalid memory reference): sent by a process (SI_USER), process 12, user 34" },
    { { .si_signo = SIGSEGV, .si_code = SI_KERNEL },
      "SIGSEGV (invalid memory reference): sent by the kernel (SI_KERNEL)" },
    { { .si_signo = SIGFPE, .si_code = FPE_INTDIV, .si_addr = (void *)0x10 },
      "SIGFPE (arithmetic fault): division by zero (FPE_INTDIV), address 0x0000000000000010" },
    { { .si_signo = SIGBUS, .si_code = 77 },
      "SIGBUS (memory that is not there): code 77, address 0x0000000000000000" },
    { { .si_signo = SIGABRT, .si_code = -99, .si_pid = 1 },
      "SIGABRT (aborted): code -99, process 1, user 0" },
    { { .si_signo = SIGSYS, .si_code = 1, .si_syscall = 59 },
      "SIGSYS (system call that is not allowed): code 1, system call 59" },
    { { .si_signo = 63, .si_code = SI_QUEUE, .si_pid = 5 },
      "signal 63: queued by a process (SI_QUEUE), process 5, user 0" },
};

static void a_signal_is_told_in_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char memory[256];
        struct text t = text_over(memory, sizeof(memory));
        fault_print(&cases[i].info, &t);
        assert_string_equal(text_cstr(&t), cases[i].text);
    }
}

static void names_are_those_of_the_headers(void **state)
{
    (void)state;
    assert_string_equal(fault_name(SIGTRAP), "SIGTRAP");
    assert_string_equal(fault_name(SIGTERM), "signal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_is_told_in_words),
        cmocka_unit_test(names_are_those_of_the_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
