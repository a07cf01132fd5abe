/* fuzz/conf_check.h: what must hold for every input of the two readers of configuration. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "../tests/unit/conf/sample_conf.h"
#include "base/json.h"

#define MUST(condition) \
    if (!(condition)) abort()

#define ENCODED_MAX ((size_t)64 << 20)

/* A result and the faults beside it say the same, and the faults can be printed. */
static inline void conf_check_faults(int result, const struct conf_faults *faults,
                                     const struct conf_tree *tree)
{
    MUST(result == 0 || result == -1);
    MUST((result == 0) == (faults->count + faults->dropped == 0));
    char *text = conf_faults_print(faults, tree, false);
    MUST(text != NULL);
    for (const char *c = text; *c; c++) MUST((unsigned char)*c >= ' ' || *c == '\n' || *c == '\t');
    free(text);
}

/* The object as JSON; NULL if it could not be decoded. */
static inline char *conf_check_decode(const struct conf_tree *tree, struct conf_faults *faults)
{
    struct sample_conf conf;
    struct json j;
    struct conf_arena *arena = conf_arena_new();
    char *text = NULL;
    int result = conf_decode(tree, &sample_type, &conf, arena, faults);
    conf_check_faults(result, faults, tree);
    if (result == 0) {
        json_init(&j, ENCODED_MAX, false);
        conf_encode(&sample_type, &conf, &j);
        text = json_take(&j, NULL);
        MUST(text != NULL);
    }
    conf_arena_free(arena);
    return text;
}

/* What stands for a secret is refused where a secret belongs: a text that is read again has one instead. */
static inline void conf_check_reveal(char *text)
{
    if (!text) return;
    for (char *at = text; (at = strstr(at, "\"***\"")) != NULL; at += 5) memcpy(at + 1, "x*x", 3);
}

/* What is accepted is encoded; that is accepted too and encoded to the same. */
static inline void conf_check(const struct conf_tree *tree)
{
    static struct conf_faults faults;
    faults = (struct conf_faults){ 0 };
    char *text = conf_check_decode(tree, &faults);
    if (!text) return;
    conf_check_reveal(text);
    struct conf_tree again;
    int result = conf_read_json(&again, "encoded", slice_of(text), &faults);
    conf_check_faults(result, &faults, &again);
    MUST(result == 0);
    char *second = conf_check_decode(&again, &faults);
    conf_check_reveal(second);
    MUST(second != NULL && strcmp(text, second) == 0);
    conf_tree_free(&again);
    free(second);
    free(text);
}
