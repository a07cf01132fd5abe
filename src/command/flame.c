#include "command/flame.h"

#include <errno.h>
#include <getopt.h>
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

const char flame_help[] =
    "Usage: weir flame [--seconds N] [-o FILE]\n"
    "       weir flame --at HH:MM [--diff HH:MM] [-o FILE]\n\n"
    "Writes what a running weir's CPU time goes to as a flame graph: one HTML page, without references to "
    "others.\n"
    "It is watched from now on; or --at tells of a minute of the last hour, which weir keeps with `profile: "
    "{continuous:\n"
    "true}` in its configuration, and --diff colours what differs from another minute.\n\n"
    "      --seconds N       how long it is watched, up to 600; 10 unless given\n"
    "      --at HH:MM        the minute that began then, by this machine's clock\n"
    "      --diff HH:MM      the minute that it is compared with\n"
    "  -o, --output FILE     where to; flame.html unless given; - is standard output\n"
    "  -c, --config FILE     the configuration, for the admin address and the token\n"
    "      --admin ADDR      the admin address; 127.0.0.1:9091 if nothing says another\n"
    "      --token TOKEN     the admin token; or WEIR_TOKEN\n";

static int usage_fault(const char *text)
{
    fprintf(stderr, "weir flame: %s\nTry: weir flame --help\n", text);
    return EX_USAGE;
}

static int check(const struct flame_command_options *o)
{
    if (o->diff && !o->at) return usage_fault("--diff needs --at: which minute is to be compared?");
    if (o->at && o->seconds > 0)
        return usage_fault("--at tells of what has been, --seconds of what comes; one of them");
    return EX_OK;
}

/* EX_OK, or -1 after the help, or EX_USAGE. */
static int parse_options(int argc, char **argv, struct flame_command_options *o)
{
    static const struct option options[] = {
        { "seconds", required_argument, NULL, 's' },
        { "at", required_argument, NULL, 'A' },
        { "diff", required_argument, NULL, 'd' },
        { "output", required_argument, NULL, 'o' },
        { "config", required_argument, NULL, 'c' },
        { "admin", required_argument, NULL, 'a' },
        { "token", required_argument, NULL, 't' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    int option;
    char *end;
    while ((option = getopt_long(argc, argv, "o:c:h", options, NULL)) != -1) {
        switch (option) {
        case 's':
            o->seconds = strtod(optarg, &end);
            if (*end || end == optarg || !(o->seconds > 0 && o->seconds <= SECONDS_MAX))
                return usage_fault("--seconds is a number over 0 and up to 600");
            break;
        case 'A': o->at = optarg; break;
        case 'd': o->diff = optarg; break;
        case 'o': o->output = optarg; break;
        case 'c': o->api.config = optarg; break;
        case 'a': o->api.admin = optarg; break;
        case 't': o->api.token = optarg; break;
        case 'h': fputs(flame_help, stdout); return -1;
        default: return usage_fault("what is meant?");
        }
    }
    return optind < argc ? usage_fault("it takes options only") : check(o);
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
    int code = parse_options(argc, argv, &o);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    if (!(o.seconds > 0)) o.seconds = SECONDS_PRESET;
    snprintf(seconds, sizeof(seconds), "%.3f", o.seconds);
    struct text t = text_over(path, sizeof(path));
    TEXT_LITERAL(&t, "/debug/flame?");
    add_parameter(&t, o.at ? "at" : "seconds", o.at ? o.at : seconds);
    add_parameter(&t, "&diff", o.diff);
    text_cstr(&t);
    if (t.is_cut) return usage_fault("--at and --diff are minutes, such as 14:03");
    struct api_request rq = { .method = HTTP_GET,
                              .path = path,
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
