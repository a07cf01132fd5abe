/* The first line is a regular expression, the second what it becomes, the third a target: whatever they are, the
 * result is a target again, and canonical. An expression that is empty stands for prefixes: the second is stripped, the third put. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "route/rewrite.h"
#include "route/route.h"

static char *cut(char **rest)
{
    char *begin = *rest, *at = strchr(begin, '\n');
    if (at) *at = 0;
    *rest = at ? at + 1 : begin + strlen(begin);
    return begin;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[2048], memory[1024];
    static struct route_scratch *scratch;
    struct rewrite *r = NULL;
    struct err err = { "" };
    if (size >= sizeof(text)) return 0;
    if (!scratch && !(scratch = route_scratch_new())) abort();
    if (size) memcpy(text, data, size);
    text[size] = 0;
    char *rest = text, *regex = cut(&rest), *to = cut(&rest), *target = cut(&rest);
    for (char *c = target; *c; c++)
        if (*c <= ' ' || (unsigned char)*c >= 127) *c = 'x'; /* what no target that was read holds */
    struct rewrite_conf conf = { .regex = *regex ? regex : NULL, .to = *regex ? to : NULL };
    if (!*regex && *to) conf.strip_prefix = to;
    if (!*regex) conf.add_prefix = "/p";
    if (rewrite_new(&r, &conf, &err) < 0) {
        if (!err.text[0]) abort();
        return 0;
    }
    static const struct http_path_rules rules;
    static char canonical[3 * sizeof(text)], again[3 * sizeof(memory)];
    struct text t = text_over(canonical, sizeof(canonical));
    struct slice asked, same;
    size_t room = size % sizeof(memory);
    struct text out = text_over(memory, room);
    if (http_path_put(&rules, slice_of(target), &t, &asked) == HTTP_PATH_OK &&
        rewrite_target(r, scratch, &rules, asked, &out) == REWRITE_DONE) {
        if (out.len > room || !out.len || out.data[0] != '/' || out.data < memory) abort();
        for (size_t i = 0; i < out.len; i++)
            if (out.data[i] <= ' ' || (unsigned char)out.data[i] >= 127) abort();
        t = text_over(again, sizeof(again));
        if (http_path_put(&rules, text_slice(&out), &t, &same) != HTTP_PATH_OK ||
            !slice_equal(same, text_slice(&out)))
            abort();
    }
    rewrite_free(r);
    return 0;
}
