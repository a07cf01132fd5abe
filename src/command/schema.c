#include "command/schema.h"

#include <stdlib.h>
#include <sysexits.h>

#include "base/json.h"
#include "base/text.h"
#include "conf/decode.h"
#include "control/config.h"

#define TEXT_MAX (256u << 10)

struct schema_options {
    bool is_markdown;
};

static const struct option_row options[] = {
    { OPTION_FLAG, .name = "markdown", .offset = offsetof(struct schema_options, is_markdown),
      .help = "the reference manual instead" },
    { 0 },
};

const struct syntax schema_syntax = {
    .command = "schema",
    .usage =
        "schema [--markdown]\n\n"
        "Prints the JSON Schema (2020-12) of the configuration for editors, or with --markdown the reference "
        "manual.\n",
    .options = options,
};

int schema_command(int argc, char **argv)
{
    struct schema_options o = { 0 };
    int code = options_parse(&schema_syntax, argc, argv, &o, NULL);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    char *memory = malloc(TEXT_MAX);
    if (!memory) return EX_OSERR;
    bool is_whole = true;
    if (o.is_markdown) {
        struct text t = text_over(memory, TEXT_MAX);
        conf_manual(&config_type, &t);
        is_whole = !t.is_cut && fwrite(t.data, 1, t.len, stdout) == t.len;
    } else {
        struct json j;
        json_init(&j, TEXT_MAX, true);
        conf_schema(&config_type, &j);
        is_whole = !j.is_failed && fwrite(j.data, 1, j.len, stdout) == j.len && fputc('\n', stdout) != EOF;
        json_fini(&j);
    }
    free(memory);
    return is_whole ? EX_OK : EX_IOERR;
}
