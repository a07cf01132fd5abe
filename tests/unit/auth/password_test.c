#include "auth/password.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Of "secret", at the least cost that there is. */
static const char *const hashes[] = {
    "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
    "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
    "$y$j75$abcdefgh$uMUXG79B2cFpoAYyDccUnsaH/aGTyBYMlnQidzyag01",
    "$6$rounds=1000$abcdefgh$nhYjN017qxiYztzyUpZtPnUQcnLy62KsunSLHNeLahp2EHPlAKmFFlrjEwSXGo2kgY5hR2."
    "peKEg2VGUqIJJu1",
    "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.",
};
#define HASHES (sizeof(hashes) / sizeof(*hashes))

static void the_right_password_fits_its_hash_and_no_other_does(void **state)
{
    (void)state;
    struct err err = { "" };
    for (size_t i = 0; i < HASHES; i++) {
        if (password_hash_check(slice_of(hashes[i]), &err) < 0) fail_msg("%s: %s", hashes[i], err.text);
        assert_true(password_is(hashes[i], "secret"));
        assert_false(password_is(hashes[i], "Secret"));
        assert_false(password_is(hashes[i], "secret "));
        assert_false(password_is(hashes[i], ""));
    }
}

static void a_hash_that_is_cut_or_longer_is_a_mistake(void **state)
{
    (void)state;
    char text[PASSWORD_HASH_MAX + 8];
    struct err err;
    for (size_t i = 0; i < HASHES; i++) {
        size_t len = strlen(hashes[i]);
        memcpy(text, hashes[i], len);
        text[len] = 'a';
        assert_int_equal(password_hash_check((struct slice){ text, len + 1 }, &err), -1);
        for (size_t cut = 1; cut < len; cut++) {
            char *copy = test_malloc(cut); /* so that a byte too many is seen */
            memcpy(copy, hashes[i], cut);
            assert_int_equal(password_hash_check((struct slice){ copy, cut }, &err), -1);
            test_free(copy);
        }
    }
}

static void what_is_guessed_quickly_is_refused_in_words(void **state)
{
    (void)state;
    static const struct {
        const char *hash, *says;
    } cases[] = {
        { "$apr1$abcdefgh$JtBqXPFF8D4Nr4tNrBSXC1", "MD5" },
        { "$1$abcdefgh$JtBqXPFF8D4Nr4tNrBSXC1", "MD5" },
        { "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "SHA-1" },
        { "{SSHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "SHA-1" },
        { "secret", "in the clear" },
        { "rqXexS6ZhobKA", "DES" },
        { "", "in the clear" },
        { "*", "locked" },
        { "$5$abcdefgh$ZLdkj8mkc2XVSrPVjskDAgZPGjtj1VGVaa1aUkrMTU/", "not taken" },
        { "$7$CU..../....abc", "not taken" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct err err = { "" };
        assert_int_equal(password_hash_check(slice_of(cases[i].hash), &err), -1);
        if (!strstr(err.text, cases[i].says)) fail_msg("%s: %s", cases[i].hash, err.text);
        if (cases[i].hash[0] && cases[i].hash[1]) assert_null(strstr(err.text, cases[i].hash));
    }
}

static void a_cost_that_strangers_could_use_against_the_host_is_refused(void **state)
{
    (void)state;
    static const char *const costly[] = {
        "$2y$15$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
        "$2y$31$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
        "$y$jFT$abcdefgh$uMUXG79B2cFpoAYyDccUnsaH/aGTyBYMlnQidzyag01",
        "$y$j9z$abcdefgh$uMUXG79B2cFpoAYyDccUnsaH/aGTyBYMlnQidzyag01",
        "$6$rounds=999999999$abcdefgh$"
        "nhYjN017qxiYztzyUpZtPnUQcnLy62KsunSLHNeLahp2EHPlAKmFFlrjEwSXGo2kgY5hR2.peKEg2VGUqIJJu1",
    };
    struct err err;
    for (size_t i = 0; i < sizeof(costly) / sizeof(*costly); i++)
        assert_int_equal(password_hash_check(slice_of(costly[i]), &err), -1);
    assert_int_equal(
        password_hash_check(SLICE("$2y$14$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"), &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_right_password_fits_its_hash_and_no_other_does),
        cmocka_unit_test(a_hash_that_is_cut_or_longer_is_a_mistake),
        cmocka_unit_test(what_is_guessed_quickly_is_refused_in_words),
        cmocka_unit_test(a_cost_that_strangers_could_use_against_the_host_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
