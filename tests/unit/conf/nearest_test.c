#include "conf/decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void typing_errors_find_their_word(void **state)
{
    (void)state;
    static const char *const words[] = { "weight", "address", "name", "max_connections", "host" };
    static const struct {
        const char *word, *nearest;
    } cases[] = {
        { "wieght", "weight" },
        { "weigth", "weight" },
        { "weight", "weight" },
        { "wight", "weight" },
        { "weights", "weight" },
        { "WEIGHT", "weight" },
        { "Adress", "address" },
        { "adress", "address" },
        { "nmae", "name" },
        { "nme", "name" },
        { "hots", "host" },
        { "hsto", NULL },
        { "x", NULL },
        { "", NULL },
        { "max_conections", "max_connections" },
        { "maxconections", "max_connections" },
        { "server", NULL },
        { "wgt", NULL },
        { "na", NULL },
        { "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn", NULL },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const char *found = conf_nearest(slice_of(cases[i].word), words, sizeof(words) / sizeof(*words));
        if (!found || !cases[i].nearest ? found != cases[i].nearest : strcmp(found, cases[i].nearest) != 0)
            fail_msg("%s gives %s", cases[i].word, found ? found : "nothing");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(typing_errors_find_their_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
