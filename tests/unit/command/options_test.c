/* What is understood and what is said of mistakes. What a command tells people is in tests/e2e/test_command_line.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>
/* after the above */
#include <cmocka.h>

#include "command/command.h"
#include "command/options.h"

struct inner {
    const char *file;
};

struct given {
    bool is_json, is_quiet;
    const char *output;
    const char *to[3];
    uint32_t to_count, hz;
    uint64_t seed;
    double seconds;
    struct inner inner;
    char taken[16];
};

static int take_word(void *target, const char *value, struct err *err)
{
    struct given *g = target;
    if (strlen(value) >= sizeof(g->taken)) return err_set(err, " is too long");
    strcpy(g->taken, value);
    return 0;
}

#define ROW(member) .offset = offsetof(struct given, member)

static const struct option_row inner_rows[] = {
    { OPTION_TEXT, 'c', .name = "config", .argument = "FILE", .offset = offsetof(struct inner, file),
      .help = "a file" },
    { 0 },
};

static const struct option_row rows[] = {
    { OPTION_FLAG, 'j', .name = "json", ROW(is_json), .help = "as JSON" },
    { OPTION_FLAG, 'q', .name = "quiet", ROW(is_quiet), .help = "less" },
    { OPTION_TEXT, 'o', .name = "output", .argument = "FILE", ROW(output), .once = "one is enough",
      .help = "where to" },
    { OPTION_TEXTS, .name = "to", .argument = "ADDR", ROW(to), .max = 3,
      .count_at = offsetof(struct given, to_count), .help = "a server;\nagain for more" },
    { OPTION_U32, .name = "hz", .argument = "N", ROW(hz), .min = 1, .max = 10000, .help = "how often" },
    { OPTION_U64, .name = "seed", .argument = "N", ROW(seed), .max = 9e15, .help = "of chance" },
    { OPTION_DOUBLE, .name = "seconds", .argument = "S", ROW(seconds), .min = 0.001, .max = 600,
      .help = "how long" },
    { OPTION_TITLE, .help = "others:" },
    { OPTION_GROUP, .group = inner_rows, ROW(inner) },
    { OPTION_TAKE, .name = "word", .argument = "W", .take = take_word, .help = "a word" },
    { OPTION_TEXT, .is_unlisted = true, .name = "old", .argument = "X", ROW(output), .help = "" },
    { 0 },
};

static const struct syntax syntax = {
    .command = "try", .usage = "try [OPTION]...\n", .options = rows, .notes = "End.\n"
};

/* The code; what was said on stderr is in `said`. The line's words are split at blanks. */
static int parse(const char *line, struct given *g, struct words *words, char said[512])
{
    static char memory[1024], *argv[32]; /* as main()'s are: what is found points into them */
    char *rest = memory;
    int argc = 0;
    snprintf(memory, sizeof(memory), "%s", line);
    for (char *word; (word = strsep(&rest, " "));)
        if (argc < 32) argv[argc++] = word;
    *g = (struct given){ 0 };
    FILE *into = fmemopen(said, 512, "w");
    assert_non_null(into);
    FILE *before = stderr;
    stderr = into;
    int code = options_parse(&syntax, argc, argv, g, words);
    stderr = before;
    fclose(into);
    return code;
}

static void every_kind_is_taken_in_each_of_its_forms(void **state)
{
    (void)state;
    struct given g;
    struct words words;
    char said[512];
    assert_int_equal(
        parse("try one --json -oa.html --to A --to=B two --hz 99 --seed=9000000000000000 --seconds 0.5 "
              "-c f --word abc -- --three -",
              &g, &words, said),
        EX_OK);
    assert_true(g.is_json && !g.is_quiet);
    assert_string_equal(g.output, "a.html");
    assert_int_equal(g.to_count, 2);
    assert_string_equal(g.to[0], "A");
    assert_string_equal(g.to[1], "B");
    assert_int_equal(g.hz, 99);
    assert_true(g.seed == 9000000000000000ull);
    assert_true(g.seconds == 0.5);
    assert_string_equal(g.inner.file, "f");
    assert_string_equal(g.taken, "abc");
    static const char *const expected[] = { "one", "two", "--three", "-" };
    assert_int_equal(words.count, 4);
    for (int i = 0; i < 4; i++) assert_string_equal(words.items[i], expected[i]);
    assert_int_equal(parse("try -jqo x", &g, NULL, said), EX_OK);
    assert_true(g.is_json && g.is_quiet);
    assert_string_equal(g.output, "x");
    assert_int_equal(parse("try --sec 2 --conf=", &g, NULL, said), EX_OK);
    assert_true(g.seconds == 2);
    assert_string_equal(g.inner.file, "");
    assert_int_equal(parse("try --old y", &g, NULL, said), EX_OK);
    assert_string_equal(g.output, "y");
}

static void a_mistake_is_named_with_what_may_be_meant(void **state)
{
    (void)state;
    static const struct {
        const char *line, *said;
    } cases[] = {
        { "try --jsn", "unknown option --jsn; did you mean --json?" },
        { "try --secnods=1", "unknown option --secnods; did you mean --seconds?" },
        { "try --helpp", "unknown option --helpp; did you mean --help?" },
        { "try --nothing-like-it", "unknown option --nothing-like-it\n" },
        { "try --se 1", "unknown option --se" }, /* seed, seconds */
        { "try --=1", "unknown option --" },
        { "try -x", "unknown option -x" },
        { "try -jx", "unknown option -x" },
        { "try --json=1", "--json takes no value" },
        { "try --output", "--output needs its FILE" },
        { "try -jo", "--output needs its FILE" },
        { "try -o a -o b", "--output can be given once: one is enough" },
        { "try --to 1 --to 2 --to 3 --to 4", "more than 3 times --to" },
        { "try --hz 0", "--hz 0 is no number from 1 to 10000" },
        { "try --hz 10001", "--hz 10001 is no number from 1 to 10000" },
        { "try --hz 1.5", "--hz 1.5 is no number" },
        { "try --hz 0x10", "--hz 0x10 is no number" },
        { "try --hz +5", "--hz +5 is no number" },
        { "try --hz=", "--hz  is no number" },
        { "try --seed 9000000000000001", "--seed 9000000000000001 is no number from 0 to 9000000000000000" },
        { "try --seconds nan", "--seconds nan is no number from 0.001 to 600" },
        { "try --seconds 1e", "--seconds 1e is no number" },
        { "try --seconds -1", "--seconds -1 is no number" },
        { "try --word 0123456789abcdef", "--word 0123456789abcdef is too long" },
        { "try this", "one word too many: \"this\"" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct given g;
        char said[512] = "";
        assert_int_equal(parse(cases[i].line, &g, NULL, said), EX_USAGE);
        if (!strstr(said, cases[i].said) || strncmp(said, "weir try: ", 10) != 0 ||
            !strstr(said, "\nTry: weir try --help\n"))
            fail_msg("%s: %s", cases[i].line, said);
    }
}

static void help_shows_each_row_under_the_other(void **state)
{
    (void)state;
    char shown[1024] = "";
    FILE *f = fmemopen(shown, sizeof(shown), "w");
    assert_non_null(f);
    options_print_help(&syntax, f);
    fclose(f);
    assert_string_equal(shown, "Usage: weir try [OPTION]...\n"
                               "\n"
                               "  -j, --json         as JSON\n"
                               "  -q, --quiet        less\n"
                               "  -o, --output FILE  where to\n"
                               "      --to ADDR      a server;\n"
                               "                     again for more\n"
                               "      --hz N         how often\n"
                               "      --seed N       of chance\n"
                               "      --seconds S    how long\n"
                               "others:\n"
                               "  -c, --config FILE  a file\n"
                               "      --word W       a word\n"
                               "\n"
                               "End.\n");
}

struct seen {
    const char *command, *names[64];
    char letters[64];
    uint32_t count;
};

static void see(void *context, const struct option_row *row)
{
    struct seen *s = context;
    assert_true(s->count < 64);
    assert_true(row->help && (row->is_unlisted || *row->help));
    assert_int_equal(row->kind == OPTION_FLAG, !row->argument);
    assert_true(row->letter != 'h' && strcmp(row->name, "help") != 0);
    for (uint32_t i = 0; i < s->count; i++)
        if (strcmp(s->names[i], row->name) == 0 || (row->letter && s->letters[i] == row->letter))
            fail_msg("weir %s has two options of the name or letter of --%s", s->command, row->name);
    s->names[s->count] = row->name;
    s->letters[s->count++] = row->letter;
}

static void no_command_has_two_options_of_one_name(void **state)
{
    (void)state;
    for (const struct command *c = commands; c->name; c++) {
        struct seen s = { .command = c->name };
        assert_string_equal(c->syntax->command, c->name);
        options_each(c->syntax->options, see, &s);
        for (const struct syntax *const *sub = c->syntax->subs; sub && *sub; sub++) {
            struct seen of_sub = { .command = (*sub)->command };
            options_each((*sub)->options, see, &of_sub);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_is_taken_in_each_of_its_forms),
        cmocka_unit_test(a_mistake_is_named_with_what_may_be_meant),
        cmocka_unit_test(help_shows_each_row_under_the_other),
        cmocka_unit_test(no_command_has_two_options_of_one_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
