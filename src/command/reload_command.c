#include "command/reload_command.h"

#include <stdio.h>
#include <sysexits.h>

#include "command/reload_report.h"

struct reload_command_options {
    struct api_options api;
    bool is_dry, is_json;
};

static const struct option_row options[] = {
    { OPTION_FLAG, .name = "dry-run", .offset = offsetof(struct reload_command_options, is_dry),
      .help = "only say what would change" },
    OPTION_JSON(struct reload_command_options, is_json),
    OPTION_API(struct reload_command_options, api),
    { 0 },
};

const struct syntax reload_syntax = {
    .command = "reload",
    .usage =
        "reload [-c FILE] [--dry-run] [--json]\n\n"
        "Has a running weir read its configuration's file again and put it in force, as SIGHUP does, and "
        "says what has\n"
        "changed. With any mistake in it nothing changes, and each is named.\n",
    .options = options,
    .notes = "Exit codes: 0 it is in force, 64 wrong usage, 69 weir is not reached, 77 wrong token, 78 the "
             "file is "
             "refused.\n",
};

int reload_command(int argc, char **argv)
{
    struct reload_command_options o = { 0 };
    struct api_target to;
    struct err err = { "" };
    int code = options_parse(&reload_syntax, argc, argv, &o, NULL);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    struct api_request rq = { .method = HTTP_POST,
                              .path = o.is_dry ? "/api/v1/reload?dry_run=true" : "/api/v1/reload" };
    code = api_target_find(&o.api, &to, &err);
    if (code == EX_OK) return reload_report_ask("reload", &to, &rq, o.is_json);
    fprintf(stderr, "weir reload: %s\n", err.text);
    return code;
}
