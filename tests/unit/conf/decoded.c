#include "conf/decoded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

char *decode_yaml(const char *yaml, const struct conf_type *type, void *object, struct conf_arena *arena)
{
    struct conf_tree tree;
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    char *said = NULL;
    assert_non_null(faults);
    int result = conf_read_yaml(&tree, "test", slice_of(yaml), faults);
    if (result == 0) result = conf_decode(&tree, type, object, arena, faults);
    if (result < 0) said = conf_faults_print(faults, &tree, true);
    conf_tree_free(&tree);
    free(faults);
    return said;
}
