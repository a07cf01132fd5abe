#include "command/manual.h"

#include "base/end_reason.h"
#include "command/command.h"

static void print_page(const struct syntax *s, const char *summary, FILE *out)
{
    fprintf(out, "\n## weir %s\n\n", s->command);
    if (summary) fprintf(out, "To %s.\n\n", summary);
    fputs("```text\n", out);
    options_print_help(s, out);
    fputs("```\n", out);
    for (const struct syntax *const *sub = s->subs; sub && *sub; sub++) print_page(*sub, NULL, out);
}

void manual_print_markdown(FILE *out)
{
    fputs("# Commands\n\n"
          "This page is made by `make docs` of the tables that the command line is read with. Options may "
          "stand before "
          "and\nbehind other words, may be written `--name=value`, and may be cut short as long as one alone "
          "begins so.\n",
          out);
    for (const struct command *c = commands; c->name; c++) print_page(c->syntax, c->summary, out);
}

static void print_name(void *context, const struct option_row *row)
{
    if (!row->is_unlisted) fprintf(context, " --%s", row->name);
}

static void print_case(const struct syntax *s, FILE *out)
{
    for (const struct syntax *const *sub = s->subs; sub && *sub; sub++) print_case(*sub, out);
    fprintf(out, "    '%s '*) options='--help", s->command);
    options_each(s->options, print_name, out);
    fputs("' ;;\n", out);
}

void manual_print_bash(FILE *out)
{
    fputs("# What bash completes of weir's command line. Made by `make docs`.\n"
          "_weir()\n"
          "{\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} options=\n"
          "    if ((COMP_CWORD == 1)); then\n"
          "        COMPREPLY=($(compgen -W '--help help",
          out);
    for (const struct command *c = commands; c->name; c++) fprintf(out, " %s", c->name);
    fputs("' -- \"$word\"))\n"
          "        return\n"
          "    fi\n"
          "    case \"${COMP_WORDS[*]:1:2} \" in\n",
          out);
    for (const struct command *c = commands; c->name; c++) print_case(c->syntax, out);
    fputs("    esac\n"
          "    if [[ $word == -* ]]; then\n"
          "        COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
          "    else\n"
          "        COMPREPLY=($(compgen -f -- \"$word\"))\n"
          "    fi\n"
          "}\n"
          "complete -o filenames -F _weir weir\n",
          out);
}

static void print_reason(const struct end_reason_info *r, FILE *out)
{
    static const char *const doers[] = { [ORIGIN_NONE] = "nobody's",
                                         [ORIGIN_CLIENT] = "the client's",
                                         [ORIGIN_WEIR] = "weir's",
                                         [ORIGIN_SERVER] = "the server's",
                                         [ORIGIN_CONFIG] = "the configuration's" };
    fprintf(out, "| `%s` | %s | ", r->name, doers[r->origin]);
    if (r->status) fprintf(out, "%u", r->status);
    fprintf(out, " | %s |\n", r->means);
}

void manual_print_reasons(FILE *out)
{
    fputs("# How requests end\n\n"
          "Every exchange, tunnel and session ends with one of these words. They are `end` in the access log "
          "in "
          "JSON and in `/api/v1/exchanges`,\n`$weir_end` in formats of the access log, the label `end` of "
          "`weir_exchanges_total`, and `{reason}` on error pages; `weir why last-failed`\ntells the rest of "
          "one. "
          "The status is what the client gets of weir where nothing has been sent yet; without one it gets "
          "none. "
          "This page is\nmade by `make docs` of the table that weir takes them from.\n\n"
          "| end | whose doing | status | meaning |\n|---|---|---|---|\n",
          out);
    for (int i = END_NONE + 1; i < END_REASON_COUNT; i++)
        print_reason(end_reason_info((enum end_reason)i), out);
}
