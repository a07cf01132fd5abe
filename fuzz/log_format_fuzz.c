/* Any text either is refused with a sentence or compiles to a format that is said back as it was given and
 * prints one line, the same each time, whatever the entry lacks. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "record/access_format.h"

static struct http_field field(const char *name, const char *value)
{
    struct slice n = slice_of(name);
    return (struct http_field){ .name = name,
                                .value = value,
                                .name_len = (uint16_t)n.len,
                                .value_len = (uint32_t)strlen(value),
                                .id = (uint8_t)http_field_id_of(n) };
}

static size_t print_line(const struct access_format *format, const struct access_entry *entry, char *out,
                         size_t cap)
{
    struct access_clock clock;
    struct text line = text_over(out, cap);
    access_clock_init(&clock);
    access_clock_set(&clock, entry->now_wall_ns, 3600);
    access_format_line(format, &clock, entry, &line);
    for (size_t i = 0; i < line.len; i++)
        if ((unsigned char)out[i] < ' ') abort();
    return line.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct access_format format;
    static char once[65536], twice[65536], said[ACCESS_FORMAT_TEXT_MAX];
    struct err err = { "" };
    struct slice source = { (const char *)data, size };
    if (access_format_compile(source, &format, &err) < 0) {
        if (!err.text[0]) abort();
        return 0;
    }
    struct text text = text_over(said, sizeof(said));
    access_format_type.print(&format, &text);
    if (!slice_equal(text_slice(&text), source)) abort();

    struct flight_record record;
    flight_init(&record);
    struct access_entry entry = { .record = &record, .now_wall_ns = UINT64_C(1700000000123456789) };
    print_line(&format, &entry, once, sizeof(once));
    struct http_field fields[] = { field("Host", "a.example:80"), field("User-Agent", "\"\\\x01\xc3\xa9\xff"),
                                   field("X-Other", "") };
    struct http_head head = {
        .target = SLICE("/p?q"), .method_text = SLICE("GET"), .fields = fields, .field_count = 3
    };
    entry.request = entry.response = &head;
    for (uint32_t i = 0; i < 5; i++) flight_begin_attempt(&record, i, BALANCE_TIE, false);
    size_t len = print_line(&format, &entry, once, sizeof(once));
    if (print_line(&format, &entry, twice, sizeof(twice)) != len || memcmp(once, twice, len) != 0) abort();
    return 0;
}
