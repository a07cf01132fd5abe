#include "command/reload_command.h"

#include <getopt.h>
#include <stdio.h>
#include <sysexits.h>

#include "command/reload_report.h"

struct reload_command_options {
    struct api_options api;
    bool is_dry, is_json;
};

const char reload_help[] =
    "Usage: weir reload [-c FILE] [--dry-run] [--json]\n\n"
    "Has a running weir read its configuration's file again and put it in force, as SIGHUP does, and says "
    "what has\n"
    "changed. With any mistake in it nothing changes, and each is named.\n\n"
    "      --dry-run         only say what would change\n"
    "      --json            the answer as JSON\n"
    "  -c, --config FILE     the configuration, for the admin address and the token\n"
    "      --admin ADDR      the admin address; 127.0.0.1:9091 if nothing says another\n"
    "      --token TOKEN     the admin token; or WEIR_TOKEN\n\n"
    "Exit codes: 0 it is in force, 64 wrong usage, 69 weir is not reached, 77 wrong token, 78 the file is "
    "refused.\n";

static int usage_fault(const char *text)
{
    fprintf(stderr, "weir reload: %s\nTry: weir reload --help\n", text);
    return EX_USAGE;
}

/* EX_OK, or -1 after the help, or EX_USAGE. */
static int parse_options(int argc, char **argv, struct reload_command_options *o)
{
    static const struct option options[] = {
        { "dry-run", no_argument, NULL, 'd' },
        { "json", no_argument, NULL, 'j' },
        { "config", required_argument, NULL, 'c' },
        { "admin", required_argument, NULL, 'a' },
        { "token", required_argument, NULL, 't' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    int option;
    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (option) {
        case 'd': o->is_dry = true; break;
        case 'j': o->is_json = true; break;
        case 'c': o->api.config = optarg; break;
        case 'a': o->api.admin = optarg; break;
        case 't': o->api.token = optarg; break;
        case 'h': fputs(reload_help, stdout); return -1;
        default: return usage_fault("what is meant?");
        }
    }
    return optind < argc ? usage_fault("it takes options only") : EX_OK;
}

int reload_command(int argc, char **argv)
{
    struct reload_command_options o = { 0 };
    struct api_target to;
    struct err err = { "" };
    int code = parse_options(argc, argv, &o);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    struct api_request rq = { .method = HTTP_POST,
                              .path = o.is_dry ? "/api/v1/reload?dry_run=true" : "/api/v1/reload" };
    code = api_target_find(&o.api, &to, &err);
    if (code == EX_OK) return reload_report_ask("reload", &to, &rq, o.is_json);
    fprintf(stderr, "weir reload: %s\n", err.text);
    return code;
}
