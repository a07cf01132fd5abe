#include "command/split_report.h"

#include <math.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/json.h"
#include "base/text.h"
#include "command/api_client.h"
#include "command/document.h"
#include "command/table.h"

#define NAME_MAX_BYTES 256u
#define PATH_BYTES (3 * NAME_MAX_BYTES + 64)
/* Of a variant with the first: errors and three quantiles. */
#define COMPARISONS 4u

/* cells */

/* "-" for what is not known. */
static void add_number(struct table *t, double value, int decimals, const char *unit)
{
    if (isnan(value))
        table_add(t, "-");
    else
        table_add(t, "%.*f%s", decimals, value, unit);
}

/* "1.20 (1.10 to 1.30)": a value with its interval, both times `scale`. */
static void print_estimate(char *out, size_t size, const struct conf_node *estimate, double scale,
                           const char *format)
{
    static const char *const keys[] = { "value", "low", "high" };
    char texts[3][32];
    for (unsigned i = 0; i < 3; i++) {
        double value = document_number(estimate, keys[i]) * scale;
        if (isnan(value))
            snprintf(texts[i], sizeof(texts[i]), "-");
        else
            snprintf(texts[i], sizeof(texts[i]), *format == '+' ? "%+.2f" : "%.2f", value);
    }
    if (strcmp(texts[0], "-") == 0)
        snprintf(out, size, "-");
    else
        snprintf(out, size, "%s (%s to %s)", texts[0], texts[1], texts[2]);
}

static void add_estimate(struct table *t, const struct conf_node *map, const char *key, double scale)
{
    char text[128];
    print_estimate(text, sizeof(text), document_get(map, key), scale, "");
    table_add(t, "%s", text);
}

/* the guard */

/* What a split's guard is at; nothing if it has none. */
static void tell_guard(const struct conf_node *split, FILE *out)
{
    const struct conf_node *guard = document_get(split, "guard");
    struct table t;
    if (!guard || isnan(document_number(guard, "weight"))) return;
    table_init(&t, 2, 0);
    table_add(&t, "guard of %s", document_text(guard, "variant"));
    table_add(&t, "%s at %.2f %%", document_text(guard, "state"), document_number(guard, "weight"));
    const struct conf_node *reason = document_get(guard, "reason");
    if (reason && reason->kind == CONF_NODE_SCALAR) {
        table_add(&t, "%s", "");
        table_add(&t, "%s", document_text(guard, "reason"));
    }
    (void)table_print(&t, out);
    table_fini(&t);
}

/* the report */

static const struct conf_node *first_of(const struct conf_node *map, const char *list)
{
    const struct conf_node *n = document_get(map, list);
    return n ? n->first_child : NULL;
}

static void add_variant(struct table *t, const struct conf_node *v)
{
    table_add(t, "%s", document_text(v, "name"));
    table_add(t, "%s", document_text(v, "pool"));
    add_number(t, document_number(v, "weight"), 2, " %");
    add_number(t, 100 * document_number(v, "share"), 2, " %");
    table_add(t, "%s", document_text(v, "exchanges"));
    add_number(t, document_number(v, "design_effect"), 1, "");
    table_add(t, "%s", document_text(v, "errors"));
    add_estimate(t, v, "error_share", 100);
    add_estimate(t, v, "p50_ms", 1);
    add_estimate(t, v, "p95_ms", 1);
    add_estimate(t, v, "p99_ms", 1);
}

static int tell_figures(const struct conf_node *report, FILE *out)
{
    static const char *const titles[] = { "variant",   "pool",   "weight", "share",
                                          "exchanges", "effect", "errors", "error share %",
                                          "p50 ms",    "p95 ms", "p99 ms" };
    struct table t;
    table_init(&t, 11, 0x7fc);
    for (unsigned i = 0; i < 11; i++) table_add(&t, "%s", titles[i]);
    for (const struct conf_node *v = first_of(report, "variants"); v; v = v->next) add_variant(&t, v);
    int result = table_print(&t, out);
    table_fini(&t);
    return result;
}

/* -1 or 1 if the whole interval is below or above 0, else 0. Never by p: that may disagree with what is shown. */
static int direction_of(const struct conf_node *difference)
{
    if (document_number(difference, "low") > 0) return 1;
    return document_number(difference, "high") < 0 ? -1 : 0;
}

static void print_p(char out[32], double p)
{
    snprintf(out, 32, "p %s%.3f", p < 0.001 ? "below " : "", p < 0.001 ? 0.001 : p);
}

static void add_error_verdict(struct table *t, const struct conf_node *against, const char *first)
{
    const struct conf_node *difference = document_get(against, "error_difference");
    const struct conf_node *always = document_get(against, "error_difference_always");
    int direction = direction_of(difference);
    char points[128], p[32];
    print_estimate(points, sizeof(points), difference, 100, "+");
    print_p(p, document_number(against, "p"));
    if (!direction)
        table_add(t, "no significant difference from %s in errors: %s points, %s", first, points, p);
    else
        table_add(t, "significantly %s errors than %s: %s points, %s, %s", direction > 0 ? "more" : "fewer",
                  first, points, p,
                  direction_of(always) == direction ? "however often one looks" : "if this is the only look");
}

static void add_duration_verdict(struct table *t, const struct conf_node *against, const char *first,
                                 const char *name)
{
    char key[32], ms[128];
    snprintf(key, sizeof(key), "%s_difference_ms", name);
    const struct conf_node *difference = document_get(against, key);
    int direction = direction_of(difference);
    print_estimate(ms, sizeof(ms), difference, 1, "+");
    table_add(t, "%s", "");
    if (!direction)
        table_add(t, "no significant difference from %s in %s: %s ms", first, name, ms);
    else
        table_add(t, "significantly %s %s than %s: %s ms", direction > 0 ? "longer" : "shorter", name, first,
                  ms);
}

static void add_verdicts(struct table *t, const struct conf_node *v, const struct conf_node *first)
{
    const struct conf_node *against = document_get(v, "against_first");
    const char *name = document_text(first, "name");
    table_add(t, "%s", document_text(v, "name"));
    if (v == first) {
        table_add(t, "what the others are compared with");
        return;
    }
    if (isnan(document_number(against, "p")) || !(document_number(v, "exchanges") > 0) ||
        !(document_number(first, "exchanges") > 0)) {
        table_add(t, "nothing to compare with %s yet", name);
        return;
    }
    add_error_verdict(t, against, name);
    add_duration_verdict(t, against, name, "p50");
    add_duration_verdict(t, against, name, "p95");
    add_duration_verdict(t, against, name, "p99");
}

static void add_ratio_verdict(struct table *t, const struct conf_node *ratio)
{
    double p = document_number(ratio, "p");
    char p_text[32], effect[32] = "";
    print_p(p_text, p);
    if (!isnan(document_number(ratio, "design_effect")))
        snprintf(effect, sizeof(effect), ", design effect %.1f", document_number(ratio, "design_effect"));
    table_add(t, "shares");
    if (isnan(p))
        table_add(t, "-");
    else if (document_is_true(ratio, "is_alarm"))
        table_add(
            t,
            "NOT those of the weights (%s%s), %s: the variants are not comparable as they were counted; "
            "docs/splits.md says what makes that",
            p_text, effect,
            document_is_true(ratio, "is_alarm_always") ? "however often one looks"
                                                       : "if this is the only look");
    else
        table_add(t, "as the weights say (%s%s)", p_text, effect);
}

static int tell_verdicts(const struct conf_node *report, FILE *out)
{
    const struct conf_node *first = first_of(report, "variants");
    struct table t;
    uint32_t compared = 0;
    table_init(&t, 2, 0);
    for (const struct conf_node *v = first; v; v = v->next, compared++) add_verdicts(&t, v, first);
    add_ratio_verdict(&t, document_get(report, "sample_ratio"));
    int result = table_print(&t, out);
    table_fini(&t);
    if (compared > 1)
        fprintf(out,
                "\n%u comparisons: where nothing differs, one in 20 is called significant all the same.\n",
                COMPARISONS * (compared - 1));
    return result;
}

int split_report_tell(const struct conf_node *report, FILE *out)
{
    struct table title;
    table_init(&title, 1, 0);
    table_add(&title, "split %s, since %s", document_text(report, "split"), document_text(report, "since"));
    int result = table_print(&title, out);
    table_fini(&title);
    fputc('\n', out);
    if (result == 0) result = tell_figures(report, out);
    fputc('\n', out);
    if (result == 0) result = tell_verdicts(report, out);
    tell_guard(report, out);
    return ferror(out) ? -1 : result;
}

/* the list */

int split_list_tell(const struct conf_node *list, FILE *out)
{
    static const char *const titles[] = { "split", "unit", "variant", "weight", "pool", "exchanges" };
    struct table t;
    table_init(&t, 6, 1u << 3 | 1u << 5);
    for (unsigned i = 0; i < 6; i++) table_add(&t, "%s", titles[i]);
    for (const struct conf_node *s = first_of(list, "splits"); s; s = s->next) {
        const struct conf_node *first = first_of(s, "variants");
        for (const struct conf_node *v = first; v; v = v->next) {
            table_add(&t, "%s", v == first ? document_text(s, "name") : "");
            table_add(&t, "%s", v == first ? document_text(s, "unit") : "");
            table_add(&t, "%s", document_text(v, "name"));
            add_number(&t, document_number(v, "weight"), 2, " %");
            table_add(&t, "%s", document_text(v, "pool"));
            table_add(&t, "%s", document_text(v, "exchanges"));
        }
    }
    int result = first_of(list, "splits") ? table_print(&t, out) : fputs("There are no splits.\n", out);
    table_fini(&t);
    return result < 0 ? -1 : 0;
}

int split_guard_tell(const struct conf_node *split, FILE *out)
{
    tell_guard(split, out);
    return ferror(out) ? -1 : 0;
}

/* the command */

struct split_options {
    struct api_options api;
    const char *name; /* empty: none */
    bool is_json;
};

static const struct option_row options[] = {
    OPTION_API(struct split_options, api),
    OPTION_JSON(struct split_options, is_json),
    { 0 },
};

const struct syntax split_syntax = {
    .command = "split",
    .usage =
        "split list [OPTION]...\n"
        "       weir split report [OPTION]... NAME\n"
        "       weir split pause|resume|back [OPTION]... NAME\n"
        "       weir split weight [OPTION]... NAME PERCENT\n\n"
        "Asks the weir that runs how its A/B splits do: `list` names them, `report` compares the variants\n"
        "of one with the first. Of a split with a guard, `pause` leaves the weights as they are, `weight` "
        "gives the\n"
        "guarded variant another share, too, `back` gives it none, and `resume` lets the guard go on. In "
        "parentheses are 95 % intervals, which know that one user's requests are "
        "alike;\n"
        "docs/splits.md says how they are made and what they leave out.\n",
    .options = options,
    .notes =
        "Exit codes: 0 told, 64 wrong usage, 65 no such split, 69 no weir answers, 76 it is no weir that\n"
        "answers, 77 the token, 78 wrong configuration.\n",
};

/* `body`: without data it is only asked. */
static int ask_splits(const struct split_options *o, const char *path, struct slice body, char **answer,
                      size_t *len)
{
    struct err err = { "" };
    struct api_target target;
    struct api_request rq = { .method = body.data ? HTTP_PATCH : HTTP_GET, .path = path, .body = body };
    int code = api_target_find(&o->api, &target, &err);
    if (code == EX_OK) code = api_client_ask(&target, &rq, answer, len, &err);
    if (code != EX_OK) fprintf(stderr, "weir split: %s\n", err.text);
    return code;
}

static int print_split(struct slice answer, int (*tell)(const struct conf_node *, FILE *))
{
    struct err err;
    struct conf_tree tree;
    if (document_read(&tree, answer, &err) < 0) {
        fprintf(stderr, "weir split: %s\n", err.text);
        return EX_PROTOCOL;
    }
    int result = tell(tree.root, stdout);
    conf_tree_free(&tree);
    return result < 0 || fflush(stdout) == EOF ? EX_IOERR : EX_OK;
}

static int show_split(const struct split_options *o, const char *path, struct slice body,
                      int (*tell)(const struct conf_node *, FILE *))
{
    char *answer = NULL;
    size_t len = 0;
    int code = ask_splits(o, path, body, &answer, &len);
    struct slice json = { answer, len };
    if (code == EX_OK) code = o->is_json ? document_print(json, stdout) : print_split(json, tell);
    free(answer);
    return code;
}

/* Of the split, or of its report. */
static void write_path(const struct split_options *o, bool is_report, char path[PATH_BYTES])
{
    struct text t = text_over(path, PATH_BYTES);
    TEXT_LITERAL(&t, "/api/v1/splits/");
    api_client_escape(&t, o->name);
    if (is_report) TEXT_LITERAL(&t, "/report");
    (void)text_cstr(&t);
}

/* A word to the guard; weir says what is wrong with a percentage. */
static int change(const struct split_options *o, const char *verb, const char *percent)
{
    char path[PATH_BYTES], *body = NULL;
    size_t len = 0;
    struct json j;
    write_path(o, false, path);
    json_init(&j, NAME_MAX_BYTES, false);
    json_object(&j);
    json_key(&j, percent ? "weight" : "guard");
    json_string(&j, percent ? percent : verb);
    json_object_end(&j);
    body = json_take(&j, &len);
    json_fini(&j);
    if (!body) return options_fault(&split_syntax, "no percentage is that long");
    int code = show_split(o, path, (struct slice){ body, len }, split_guard_tell);
    free(body);
    return code;
}

enum verb { VERB_LIST, VERB_REPORT, VERB_PAUSE, VERB_RESUME, VERB_BACK, VERB_WEIGHT, VERBS };
static const char *const verbs[VERBS] = { "list", "report", "pause", "resume", "back", "weight" };

static enum verb find_verb(const char *word)
{
    uint32_t i = 0;
    while (i < VERBS && strcmp(word, verbs[i]) != 0) i++;
    return (enum verb)i;
}

static int run_verb(const struct split_options *o, enum verb verb, const struct words *words)
{
    char path[PATH_BYTES];
    if (verb == VERB_LIST) return show_split(o, "/api/v1/splits", SLICE_NONE, split_list_tell);
    if (verb != VERB_REPORT) return change(o, verbs[verb], verb == VERB_WEIGHT ? words->items[2] : NULL);
    write_path(o, true, path);
    return show_split(o, path, SLICE_NONE, split_report_tell);
}

int split_command(int argc, char **argv)
{
    struct split_options o = { .name = "" };
    struct words words;
    int code = options_parse(&split_syntax, argc, argv, &o, &words);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    if (!words.count)
        return options_fault(&split_syntax,
                             "say what is wanted: list, report, pause, resume, back or weight");
    enum verb verb = find_verb(words.items[0]);
    if (verb == VERBS)
        return options_fault(&split_syntax,
                             "what is \"%s\"? Write list, report, pause, resume, back or weight",
                             words.items[0]);
    if (verb != VERB_LIST && (words.count < 2 || !*words.items[1]))
        return options_fault(&split_syntax, "which one? `weir split list` names them");
    if (verb == VERB_WEIGHT && words.count < 3)
        return options_fault(&split_syntax, "how much? A percentage, like 12.5");
    if (verb != VERB_LIST) o.name = words.items[1];
    if (strlen(o.name) > NAME_MAX_BYTES) return options_fault(&split_syntax, "no split has a name that long");
    code = options_too_many(&split_syntax, &words, verb == VERB_LIST ? 1 : verb == VERB_WEIGHT ? 3 : 2);
    return code == EX_OK ? run_verb(&o, verb, &words) : code;
}
