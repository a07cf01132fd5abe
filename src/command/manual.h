/* command/manual.h: every command and its options, out of the tables that parse them: a page of the manual, and what bash
 * completes; and what the words mean that requests end with. */
#pragma once

#include <stdio.h>

void manual_print_markdown(FILE *out);
void manual_print_bash(FILE *out);
/* A page of every way in which an exchange may end. */
void manual_print_reasons(FILE *out);
