/* base/printable.h: bytes of somebody else's, made fit for a terminal: UTF-8 is left as it is, but control characters (C0,
 * DEL, C1) and bytes that are no UTF-8 are shown as \\x1b and steer nothing. Newlines and tabs are up to the caller. */
#pragma once

#include <stdio.h>

#include "base/text.h"

/* Of all of `s`, newlines and tabs too. */
void printable_add(struct text *out, struct slice s);
/* In place: what may not be shown becomes '?'. */
void printable_mask(char *text);
/* From now on whatever is printed to stdout and stderr is shown so, but for newlines and tabs: for commands that print what
 * came from outside. Nothing changes where there is no memory for it. Once, before anything is printed. */
void printable_streams(void);
/* stdout (1) or stderr (2) past that, for what steers the terminal: behind what was printed so far. */
FILE *printable_past(int fd);
