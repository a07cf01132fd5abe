/* command/command.h: what can be typed. Each returns an exit code of sysexits.h. */
#pragma once

#include "command/options.h"

struct command {
    const char *name, *summary;
    const struct syntax *syntax;
    int (*run)(int argc, char **argv); /* argv[0] is the command's name */
};

/* Ends with a row without a name. */
extern const struct command commands[];
/* NULL if there is none. */
const struct command *command_by_name(const char *name);
/* The name nearest to a mistyped one, or NULL. */
const char *command_nearest(const char *name);
