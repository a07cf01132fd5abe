/* Rules over logs and syslog datagrams: any bytes. */
#include <assert.h>
#include <stdint.h>

#include "logs/rule.h"
#include "logs/syslog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = { (const char *)data, size }, message;
    struct rule *r = NULL;
    struct err err = { "" };
    if (syslog_message(text, &message))
        assert(message.data >= text.data && message.data + message.len <= text.data + text.len);
    int checked = rule_check(text, &err);
    assert(checked == 0 || *err.text);
    assert(rule_compile(&r, text, &err) == checked);
    if (r) {
        struct log_entry e = { .client.bytes = { 1 }, .status = 401, .time_s = 1000 };
        struct rule_hit hit;
        for (int i = 0; i < 20; i++) rule_count(r, &e, 1000, 60, &hit);
    }
    rule_free(r);
    return 0;
}
