#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "main/command.h"

static void print_usage(FILE *to)
{
    fputs("weir: a load balancer that shows where every request went and why\n\nUsage: weir COMMAND "
          "[OPTIONS]\n\n",
          to);
    for (const struct command *c = commands; c->name; c++) fprintf(to, "  %-9s %s\n", c->name, c->summary);
    fputs("\n`weir COMMAND --help` tells more of each.\n", to);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return EX_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return EX_OK;
    }
    const char *name = strcmp(argv[1], "--version") == 0 ? "version" : argv[1];
    for (const struct command *c = commands; c->name; c++)
        if (strcmp(c->name, name) == 0) return c->run(argc - 1, argv + 1);
    const char *nearest = command_nearest(name);
    fprintf(stderr, "weir: there is no command \"%s\"", name);
    if (nearest) fprintf(stderr, "; did you mean \"%s\"?", nearest);
    fputs("\nTry: weir --help\n", stderr);
    return EX_USAGE;
}
