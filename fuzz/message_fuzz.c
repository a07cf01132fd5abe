/* One of weir's own messages as JSON and for journald: whatever is in it, the object is one that the strict reader takes, in one line. */
#include <stdlib.h>
#include <string.h>

#include "base/log_line.h"
#include "conf/node.h"

#define LINE_MAX_BYTES 1024u /* as base/log.c makes them */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The reader takes no NUL, which no message has. */
static void check_json(struct slice json)
{
    static struct conf_faults faults;
    struct conf_tree tree;
    if (memmem(json.data, json.len, "\\u0000", 6)) return;
    faults = (struct conf_faults){ 0 };
    if (conf_read_json(&tree, "message", json, &faults) < 0) abort();
    conf_tree_free(&tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char memory[LOG_JOURNAL_MAX];
    if (size > LINE_MAX_BYTES) return 0;
    struct slice line = { (const char *)data, size };
    struct text t = text_over(memory, LOG_JSON_MAX);
    log_line_json(line, &t);
    if (t.is_cut || memchr(memory, '\n', t.len)) abort();
    check_json(text_slice(&t));
    t = text_over(memory, sizeof(memory));
    log_line_journal(line, &t);
    if (t.is_cut || memory[t.len - 1] != '\n') abort();
    return 0;
}
