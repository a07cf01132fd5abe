/* route/gate_file.h: address blocks in a file, one a line: `192.0.2.0/24`, `2001:db8::/32`, or a bare address. Behind it, or in a
 * line of its own, may be a remark, set off by a blank, `#` or `;`: so the usual published lists are read as they are. */
#pragma once

#include "base/prefix_map.h"

#define GATE_FILE_BLOCKS_MAX 4000000u

struct prefix_list {
    struct prefix *items; /* for free() */
    uint32_t count, room;
};

MUST_CHECK int prefix_list_add(struct prefix_list *list, const struct cidr *block, uint8_t value,
                               struct err *err);
/* Adds all of the file's. -1 with the sentence, which has the place. */
MUST_CHECK int gate_file_read(const char *path, uint8_t value, struct prefix_list *list, struct err *err);
/* Likewise of its text, for gate_file_read() and for tests; `path` is for the sentence. */
MUST_CHECK int gate_file_parse(const char *path, struct slice text, uint8_t value, struct prefix_list *list,
                               struct err *err);
