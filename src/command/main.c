#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/printable.h"
#include "command/command.h"
#include "command/man_page.h"
#include "command/manual.h"

static void print_usage(FILE *to)
{
    fputs("weir: a load balancer that shows where every request went and why\n\nUsage: weir COMMAND "
          "[OPTIONS]\n\n",
          to);
    for (const struct command *c = commands; c->name; c++) fprintf(to, "  %-11s %s\n", c->name, c->summary);
    fputs("\n`weir COMMAND --help` tells more of each.\n", to);
}

static int unknown(const char *name)
{
    const char *nearest = command_nearest(name);
    fprintf(stderr, "weir: there is no command \"%s\"", name);
    if (nearest) fprintf(stderr, "; did you mean \"%s\"?", nearest);
    fputs("\nTry: weir --help\n", stderr);
    return EX_USAGE;
}

/* `help --man` and `help --man NAME`. */
static int print_man_page(const char *name)
{
    const struct command *c = name ? command_by_name(name) : NULL;
    if (name && !c) return unknown(name);
    if (c)
        man_page_print(c, stdout);
    else
        man_page_print_all(stdout);
    return fflush(stdout) == EOF || ferror(stdout) ? EX_IOERR : EX_OK;
}

/* A command's own words, which it has behind --help; or of all, for the manual and for bash. */
static int help(char *name, const char *of)
{
    if (strcmp(name, "--man") == 0) return print_man_page(of);
    static const struct {
        const char *option;
        void (*print)(FILE *out);
    } pages[] = { { "--markdown", manual_print_markdown },
                  { "--reasons", manual_print_reasons },
                  { "--bash", manual_print_bash } };
    for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++) {
        if (strcmp(name, pages[i].option) != 0) continue;
        pages[i].print(stdout);
        return fflush(stdout) == EOF || ferror(stdout) ? EX_IOERR : EX_OK;
    }
    char option[] = "--help";
    char *arguments[] = { name, option, NULL };
    const struct command *c = command_by_name(name);
    return c ? c->run(2, arguments) : unknown(name);
}

/* Whatever was given back once, large tables stay mappings of their own, of which only what is touched is there: glibc would
 * raise the bound with the first that is freed. */
#define MAPPED_BYTES (128 << 10)

int main(int argc, char **argv)
{
    mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES);
    if (argc < 2) {
        print_usage(stderr);
        return EX_USAGE;
    }
    bool is_help = strcmp(argv[1], "help") == 0;
    if (is_help && argc > 2) return help(argv[2], argv[3]);
    if (is_help || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_usage(stdout);
        return EX_OK;
    }
    bool is_version = strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-v") == 0 ||
                      strcmp(argv[1], "-V") == 0;
    const char *name = is_version ? "version" : argv[1];
    const struct command *c = command_by_name(name);
    /* Whoever tells of what came from outside must not let it steer the terminal. */
    if (c && strcmp(name, "run") != 0 && strcmp(name, "demo") != 0) printable_streams();
    return c ? c->run(argc - 1, argv + 1) : unknown(name);
}
