#include "conf_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct conf_faults faults;
    struct conf_tree tree;
    faults = (struct conf_faults){ 0 };
    int result = conf_read_yaml(&tree, "fuzz.yaml", (struct slice){ (const char *)data, size }, &faults);
    conf_check_faults(result, &faults, &tree);
    if (result == 0) conf_check(&tree);
    conf_tree_free(&tree);
    return 0;
}
