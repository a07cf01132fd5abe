/* Any JSON either is refused with a sentence or gives places that print and read back as the same text. */
#include <stdint.h>
#include <stdlib.h>

#include "logs/place.h"

static char *print(const struct places *p, size_t *len)
{
    struct json j;
    json_init(&j, 64u << 20, false);
    places_print(p, &j);
    char *text = json_take(&j, len);
    if (!text) abort();
    return text;
}

/* false: it is not even JSON. */
static bool parse(struct slice text, int *result, struct places *out, struct err *err)
{
    static struct conf_faults faults;
    struct conf_tree tree;
    faults = (struct conf_faults){ 0 };
    bool is_json = conf_read_json(&tree, "fuzz.json", text, &faults) == 0;
    if (is_json) *result = places_parse(tree.root, out, err);
    conf_tree_free(&tree);
    return is_json;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct places places, again;
    struct err err = { "" };
    int result = -1;
    if (!parse((struct slice){ (const char *)data, size }, &result, &places, &err)) return 0;
    if (result < 0) {
        if (!err.text[0] || places.items || places.count) abort();
        return 0;
    }
    size_t len, len_again;
    char *text = print(&places, &len);
    if (len <= CONF_SOURCE_MAX) {
        if (!parse((struct slice){ text, len }, &result, &again, &err) || result < 0) abort();
        char *text_again = print(&again, &len_again);
        if (len != len_again || memcmp(text, text_again, len) != 0) abort();
        free(text_again);
        places_fini(&again);
    }
    free(text);
    places_fini(&places);
    return 0;
}
