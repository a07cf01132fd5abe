/* crash/fault.h: a fatal signal in words. Async-signal-safe. */
#pragma once

#include <signal.h>

#include "base/text.h"

/* "SIGSEGV"; "signal" for one that is no fault. */
const char *fault_name(int signal);
/* "SIGSEGV (invalid memory reference): no memory is mapped there (SEGV_MAPERR), address 0x10". */
void fault_print(const siginfo_t *info, struct text *out);
