/* command/man_page.h: the manual page of a command for man(1), and that of weir itself, out of the tables that parse them:
 * man(7) as groff and mandoc read it. */
#pragma once

#include <stdio.h>

struct command;

/* weir(8): what there is. */
void man_page_print_all(FILE *out);
/* weir-NAME(8), with what may follow its name, like `weir logs follow`. */
void man_page_print(const struct command *c, FILE *out);
