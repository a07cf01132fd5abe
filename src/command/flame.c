#include "command/flame.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/text.h"
#include "command/api_client.h"

#define SECONDS_PRESET 10.0
#define SECONDS_MAX 600.0
#define MAKING_MS 35000u /* what the answer may take beyond the time that is watched */

struct flame_command_options {
    struct api_options api;
    const char *at, *diff, *output;
    double seconds; /* 0: not given */
};

#define ROW(member) .offset = offsetof(struct flame_command_options, member)

static const struct option_row options[] = {
    { OPTION_DOUBLE, .name = "seconds", .argument = "N", ROW(seconds), .min = 0.001, .max = SECONDS_MAX,
      .help = "how long it is watched, up to 600; 10 unless given" },
    { OPTION_TEXT, .name = "at", .argument = "HH:MM", ROW(at),
      .help = "the minute that began then, by this machine's clock" },
    { OPTION_TEXT, .name = "diff", .argument = "HH:MM", ROW(diff),
      .help = "the minute that it is compared with" },
    { OPTION_TEXT, 'o', .name = "output", .argument = "FILE", ROW(output),
      .help = "where to; flame.html unless given; - is standard output" },
    OPTION_API(struct flame_command_options, api),
    { 0 },
};

const struct syntax flame_syntax = {
    .command = "flame",
    .usage = "flame [--seconds N] [-o FILE]\n"
             "       weir flame --at HH:MM [--diff HH:MM] [-o FILE]\n\n"
             "Writes what a running weir's CPU time goes to as a flame graph: one HTML page, without "
             "references to "
             "others.\n"
             "It is watched from now on; or --at tells of a minute of the last hour, which weir keeps with "
             "`profile: {continuous:\n"
             "true}` in its configuration, and --diff colours what differs from another minute.\n",
    .options = options,
};

static int check(const struct flame_command_options *o)
{
    if (o->diff && !o->at)
        return options_fault(&flame_syntax, "--diff needs --at: which minute is to be compared?");
    if (o->at && o->seconds > 0)
        return options_fault(&flame_syntax,
                             "--at tells of what has been, --seconds of what comes; one of them");
    return EX_OK;
}

static int write_page(const char *path, const char *page, size_t len)
{
    bool is_standard = strcmp(path, "-") == 0;
    FILE *f = is_standard ? stdout : fopen(path, "we");
    bool is_written = f && fwrite(page, 1, len, f) == len;
    if (f && (is_standard ? fflush(f) : fclose(f)) == EOF) is_written = false;
    if (!is_written) {
        fprintf(stderr, "weir flame: cannot write %s: %s\n", path, strerror(errno));
        return EX_IOERR;
    }
    if (!is_standard) fprintf(stderr, "%s is written; open it in a browser\n", path);
    return EX_OK;
}

static void add_parameter(struct text *t, const char *name, const char *value)
{
    if (!value) return;
    text_printf(t, "%s=", name);
    api_client_escape(t, value);
}

int flame_command(int argc, char **argv)
{
    struct flame_command_options o = { 0 };
    struct api_target to;
    struct err err = { "" };
    char path[512], seconds[32], *page = NULL;
    size_t len = 0;
    int code = options_parse(&flame_syntax, argc, argv, &o, NULL);
    if (code == EX_OK) code = check(&o);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    if (!(o.seconds > 0)) o.seconds = SECONDS_PRESET;
    snprintf(seconds, sizeof(seconds), "%.3f", o.seconds);
    struct text t = text_over(path, sizeof(path));
    TEXT_LITERAL(&t, "/debug/flame?");
    add_parameter(&t, o.at ? "at" : "seconds", o.at ? o.at : seconds);
    add_parameter(&t, "&diff", o.diff);
    text_cstr(&t);
    if (t.is_cut) return options_fault(&flame_syntax, "--at and --diff are minutes, such as 14:03");
    struct api_request rq = { .method = HTTP_GET,
                              .path = path,
                              .type = "text/html",
                              .wait_ms = MAKING_MS + (o.at ? 0 : (uint32_t)(o.seconds * 1000)) };
    code = api_target_find(&o.api, &to, &err);
    if (code == EX_OK) code = api_client_ask(&to, &rq, &page, &len, &err);
    if (code != EX_OK)
        fprintf(stderr, "weir flame: %s\n", err.text);
    else
        code = write_page(o.output ? o.output : "flame.html", page, len);
    free(page);
    return code;
}
